"""What the training benches share: a step as `hardener train` takes it, clocks, and a table of rows."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from hardener.augmentation.chain import augmentations_of
from hardener.config.recipe import load_recipe
from hardener.models.normalize import ImageClassifier
from hardener.runtime.device import choose_device, describe_hardware, keep_freed_memory
from hardener.training.build import build_method, build_optimizers, step_rule
from hardener.training.compiling import begin_step, compiled_by
from hardener.training.loop import Minibatch, train_epoch
from hardener.training.parallel import Exchange
from hardener.training.state import Progress, TrainingState
from hardener.training.training_loss import TrainingLoss


@dataclass(frozen=True)
class Row:
    """One line of a result. `reached`: None where there is no goal, or where this machine is not the one it is for."""

    what: str
    against: str
    measured: str
    goal: str = "–"
    reached: bool | None = None


def _stop(why: str) -> None:
    raise SystemExit(why)


class Stepper:
    """Takes steps by a recipe on one network, as `hardener train` does."""

    def __init__(
        self,
        network: nn.Module,
        recipe: str,
        device: torch.device,
        *,
        classes: int = 10,
        bf16: bool = True,
        sets: Sequence[str] = (),
    ) -> None:
        asked = load_recipe(recipe, [f"precision={'bfloat16' if bf16 else 'float32'}", "augment.flip=true", *sets])
        self.augmentations = augmentations_of(asked.augment.on())
        self.device = device
        names = [str(k) for k in range(classes)]
        classifier = ImageClassifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, classes=names)
        classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        method = build_method(asked, classes).to(device)
        method.awp_gamma = asked.awp.gamma if asked.awp is not None else 0.0
        compiled = compiled_by(asked, device, _stop)
        self.exchange = Exchange(TrainingLoss(classifier, method, compiled(classifier) if compiled else None))
        theta, beta = build_optimizers(asked, network, method)
        start = Progress.start_of(0, device)
        self.state = TrainingState(network, method, theta, beta, None, start, piece=10**9)
        self.rule, self.before_step = step_rule(asked, device), partial(begin_step, asked)
        self.exchange.training_loss.train()
        keep_freed_memory()

    def run(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take a step for each minibatch: uint8 images (N, C, H, W), wherever they lie, and labels (N,)."""

        def prepared() -> Iterable[Minibatch]:
            for images, labels in batches:
                moved = images.to(self.device, non_blocking=True).float() / 255
                moved = moved.contiguous(memory_format=torch.channels_last)
                for augment in self.augmentations:
                    moved = augment(moved)
                places = torch.arange(len(images))
                yield Minibatch(moved, labels.to(self.device, non_blocking=True), len(images), places)

        self.state.progress = Progress.start_of(0, self.device)
        train_epoch(
            self.exchange,
            prepared(),
            self.state,
            self.rule,
            before_step=self.before_step,
            on_step=lambda _: True,
        )
        if not bool(self.state.progress.loss_sum.isfinite()):
            raise SystemExit("the loss is not finite: these times mean nothing")


def random_batch(count: int, size: int, classes: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images and labels drawn at random, on the device."""
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, device=device)
    return images, torch.randint(0, classes, (count,), device=device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of the processor that the work took, or of the clock on a GPU."""
    if device.type == "cuda":
        return clock(work, device)
    started = time.process_time()
    work()
    return time.process_time() - started


def clock(work: Callable[[], object], device: torch.device) -> float:
    """Time of the clock until the work is done, on a GPU as well."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def peak_resident() -> int:
    """Peak resident set of this process in bytes; getrusage would count that of the process which started it too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def take_turns(
    works: Mapping[str, Callable[[], object]], rounds: int, timed: Callable[[Callable[[], object]], float]
) -> dict[str, list[float]]:
    """Run each work once to warm up, then all in turns, every other round backwards; return each one's times."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for turn in range(rounds):
        for name in list(works)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(timed(works[name]))
    return found


def ratio(over: list[float], under: list[float]) -> tuple[float, str]:
    """Median of the rounds' ratios, and how it is printed with the least and the most."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    middle = statistics.median(ratios)
    return middle, f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def options(doc: str | None) -> argparse.ArgumentParser:
    """The flags that every bench has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a setting that shows that it works and measures nothing")
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser


def begin(asked: argparse.Namespace) -> torch.device:
    """Choose the device; one thread on a processor, whose cores others may share."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return choose_device(asked.device)


def show(title: str, rows: Sequence[Row], asked: argparse.Namespace, device: torch.device) -> None:
    """Print the rows as a table and write them where `--json` says."""
    if asked.quick:
        rows = [replace(row, reached=None) for row in rows]
    hardware = describe_hardware(device)
    machine = ", ".join(f"{name} {value}" for name, value in hardware.items())
    print_table(f"{title}\n{device}, {machine}, torch {torch.__version__}, {asked.rounds} rounds", rows)
    if asked.json:
        content: dict[str, Any] = {"title": title, "hardware": hardware, "rounds": asked.rounds}
        asked.json.write_text(json.dumps({**content, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows with what was to be reached."""
    table = Table(title=title)
    for name in ("what", "against", "measured", "goal", "reached"):
        table.add_column(name)
    for row in rows:
        reached = "–" if row.reached is None else "yes" if row.reached else "[bold]no[/]"
        table.add_row(row.what, row.against, row.measured, row.goal, reached)
    Console(width=160).print(table)
