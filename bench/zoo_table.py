"""What a naive PGD says of models that fool it, and what the audit says: a table of tests/evaluation/zoo.py."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "evaluation"))

from zoo import FOOLING, HONEST, NAIVE, NUM_TESTED, THREAT, exhibit, visit


class Passes:
    """Counts images that go through a model, and those of them that a gradient was asked of."""

    def __init__(self, model: nn.Module) -> None:
        self.forward = self.gradient = 0
        self.hook = model.register_forward_pre_hook(self._count)

    def _count(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        if given[0].requires_grad:
            self.gradient += len(given[0])
        else:
            self.forward += len(given[0])


def main() -> None:
    """Print a line a model."""
    table = Table(title=f"{NUM_TESTED} Digits, {THREAT}; naive: PGD-{NAIVE[0].settings['steps']} on the cross-entropy")
    for column in ("model", "what it does", "clean", "naive", "worst case", "verdict", "flags"):
        table.add_column(column, justify="right" if column in {"clean", "naive", "worst case"} else "left")
    started = time.perf_counter()
    forward = gradient = 0
    names = [*HONEST, *FOOLING]
    for name in names:
        passes = Passes(exhibit(name).model)
        seen = visit(name)
        passes.hook.remove()
        forward, gradient = forward + passes.forward, gradient + passes.gradient
        table.add_row(
            name,
            exhibit(name).trick,
            f"{100 * seen.run.clean_accuracy:.0f} %",
            f"{100 * seen.run.robust_accuracy:.0f} %",
            f"{100 * seen.worst.robust_accuracy:.0f} %",
            seen.verdict,
            ", ".join(check.id for check in seen.checks if check.raised),
            end_section=name == list(HONEST)[-1],
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    seconds = (time.perf_counter() - started) / len(names)
    console.print(
        f"a model, with its run and audit: {forward / len(names):.0f} images forward, {gradient / len(names):.0f} with "
        f"a gradient, {seconds:.1f} s on {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
