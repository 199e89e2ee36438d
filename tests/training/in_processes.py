"""What `test_ranks.py` has two processes do, as one launch of torchrun: `python in_processes.py MODELS DATA OUT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.progress import SilentTraining, rank_and_world
from hardener.runtime.processes import ending_at_once
from hardener.training.run import TrainRequest, resume, train

COMMON = [
    "epochs=3",
    "validation.samples=5",
    "validation.steps=2",
    "optimizer.lr=0.05",
    "vicinity.noise_sigma=0",
    "vicinity.mixup_alpha=0",
    "vicinity.labels.draw=expected",
    "augment.shift=0",
]
BALL = "vicinity.adversarial."
PRIOR = [BALL + "origin=prior", BALL + "start=0", BALL + "eps=0.1", BALL + "agreement=10"]
# name -> model, recipe, settings; without random draws, so that one process with the doubled batch must find the same
EQUAL = {
    "natural": ("plain", "natural", ["data.balance=weights"]),
    "sprout": ("plain", "sprout", ["beta.lr=5", "accumulate=2", "optimizer.gradient_clip=0.3"]),
    "clean-beta": ("plain", "sprout-reference", ["beta.lr=5", "optimizer.name=adamw", "optimizer.lr=0.01"]),
    "unused": ("unused", "natural", ["data.balance=sampler"]),
    "head-first": ("plain", "natural", ["network.head_first=1", "network.checkpoint=true"]),
    "prior": ("plain", "fast-at", [*PRIOR, "accumulate=2"]),
    "prior-fsdp": ("plain", "fast-at", [*PRIOR, "parallel=fsdp", "data.balance=sampler"]),
    "fsdp": ("plain", "sprout", ["parallel=fsdp", "beta.lr=5", "accumulate=2", "optimizer.gradient_clip=0.3"]),
    "fsdp-adamw": (
        "plain",
        "natural",
        ["parallel=fsdp", "network.checkpoint=true", "optimizer.name=adamw", "optimizer.lr=0.01"],
    ),
}
# name -> recipe, settings; with all that draws, and batch statistics
DRAWN = {
    "averaged": ("sprout", ["averaging.decay=0.9"]),
    "attacked": ("fast-at", ["parallel=fsdp"]),
}


def request(models: Path, data: Path, out: Path, name: str, batch_size: int) -> TrainRequest:
    """What a case asks for; `batch_size` of one process."""
    model, recipe, sets = EQUAL[name]
    asked = load_recipe(recipe, [*COMMON, f"batch_size={batch_size}", *sets])
    return TrainRequest(model=str(models / f"{model}.py"), data=data, recipe=asked, out=out, name=name, device="cpu")


def drawn(models: Path, data: Path, out: Path, name: str, case: str, *more: str) -> TrainRequest:
    """Return what a case of `DRAWN` asks for."""
    recipe, sets = DRAWN[case]
    asked = load_recipe(
        recipe, ["epochs=3", "batch_size=5", "validation.samples=5", "validation.steps=2", *sets, *more]
    )
    return TrainRequest(model=str(models / "falls.py"), data=data, recipe=asked, out=out, name=name, device="cpu")


class Stops(SilentTraining):
    """Asks for a stop after some images, on the process that it speaks for."""

    def __init__(self, after: int) -> None:
        self.after = after

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        pass

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        seen = 0

        def advance(done: int) -> None:
            nonlocal seen
            seen += done
            if what == "training" and seen >= self.after:
                self.after = sys.maxsize
                os.kill(os.getpid(), signal.SIGTERM)

        return nullcontext(advance)


def told(name: str, out: Path, work: Callable[[], object]) -> None:
    """Write down, for each process, how some work ended."""
    try:
        work()
    except HardenerError as error:
        text = f"{type(error).__name__} {error.exit_code}: {error}"
        (out / f"{name}-{rank_and_world()[0]}.txt").write_text(text)


def main() -> None:
    """Train all cases; the parent compares them."""
    models, data, out = (Path(word) for word in sys.argv[1:])
    rank = rank_and_world()[0]
    for name in EQUAL:
        train(request(models, data, out, name, batch_size=5), SilentTraining())
    for case in DRAWN:
        train(drawn(models, data, out, case, case), SilentTraining())
        name = f"{case}-stopped"
        # the first process's reporter alone is asked, so that the second learns of it from the first
        told(name, out, lambda case=case, name=name: train(drawn(models, data, out, name, case), Stops(25)))  # type: ignore[misc]
        torch.manual_seed(12345)
        resume(RunFolder(out / name), SilentTraining(), device="cpu")
    told("left", out, lambda: train(drawn(models, data, out, "left", "averaged"), Stops(25)))
    diverging = drawn(models, data, out, "diverged", "averaged", "optimizer.lr=1e30", "optimizer.warmup_epochs=0")
    told("diverged", out, lambda: train(diverging, SilentTraining()))
    here = data if rank == 0 else data / "not-on-this-machine"
    told("missing", out, lambda: train(drawn(models, here, out, "missing", "averaged"), SilentTraining()))


if __name__ == "__main__":
    with ending_at_once():
        main()
