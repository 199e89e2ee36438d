"""What `test_ranks.py` has two processes do, as one launch of torchrun: `python in_processes.py MODELS DATA OUT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.progress import rank_and_world
from hardener.training.run import TrainRequest, resume, train
from hardener.training.work import SilentTraining

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
# name -> model, recipe, settings; without random draws, so that one process with the doubled batch must find the same
EQUAL = {
    "natural": ("plain", "natural", []),
    "sprout": ("plain", "sprout", ["beta.lr=5", "accumulate=2", "optimizer.gradient_clip=0.3"]),
    "clean-beta": ("plain", "sprout-reference", ["beta.lr=5", "optimizer.name=adamw", "optimizer.lr=0.01"]),
    "unused": ("unused", "natural", []),
    "compiled": ("plain", "sprout", ["compile='on'", "beta.lr=5"]),
    "fsdp": ("plain", "sprout", ["parallel=fsdp", "beta.lr=5", "accumulate=2", "optimizer.gradient_clip=0.3"]),
    "fsdp-adamw": ("plain", "fast-at", ["parallel=fsdp", "optimizer.name=adamw", "vicinity.adversarial.start=0"]),
}


def request(models: Path, data: Path, out: Path, name: str, batch_size: int) -> TrainRequest:
    """What a case asks for; `batch_size` of one process."""
    model, recipe, sets = EQUAL[name]
    asked = load_recipe(recipe, [*COMMON, f"batch_size={batch_size}", *sets])
    return TrainRequest(model=str(models / f"{model}.py"), data=data, recipe=asked, out=out, name=name, device="cpu")


def drawing(models: Path, data: Path, out: Path, name: str, *more: str) -> TrainRequest:
    """A run with all that draws, batch statistics and averaged weights."""
    sets = ["epochs=3", "batch_size=5", "validation.samples=5", "validation.steps=2", "averaging.decay=0.9", *more]
    recipe = load_recipe("sprout", sets)
    return TrainRequest(model=str(models / "tiny.py"), data=data, recipe=recipe, out=out, name=name, device="cpu")


class Stops(SilentTraining):
    """Asks for a stop after some images, on the process that it speaks for."""

    def __init__(self, after: int) -> None:
        self.after = after

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
    models, data, out = (Path(word) for word in sys.argv[1:])
    for name in EQUAL:
        import time

        t = time.time()
        train(request(models, data, out, name, batch_size=5), SilentTraining())
        print(name, time.time() - t, file=sys.stderr)
    train(drawing(models, data, out, "straight"), SilentTraining())
    told("stopped", out, lambda: train(drawing(models, data, out, "stopped"), Stops(35)))
    torch.manual_seed(12345)
    resume(RunFolder(out / "stopped"), SilentTraining(), device="cpu")
    told("diverged", out, lambda: train(drawing(models, data, out, "diverged", "optimizer.lr=1e30"), Stops(10**9)))
    here = data if rank_and_world()[0] == 0 else data / "not-on-this-machine"
    told("missing", out, lambda: train(drawing(models, here, out, "missing"), SilentTraining()))


if __name__ == "__main__":
    main()
