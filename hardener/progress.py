"""How long work speaks to whoever watches it; the command line shows it with rich."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Literal, Protocol


class Reporter(Protocol):
    """What `run.py` of each room tells the outside."""

    def say(self, text: str) -> None:
        """State a fact that the user wants to see."""

    def warn(self, text: str) -> None:
        """State a fact that the user must not miss."""

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Show facts, each with its name."""

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Show progress through `total` units, 0 if unknown; the value is called with the number just done."""


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Drop the text."""

    def warn(self, text: str) -> None:
        """Drop the text."""

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Drop the facts."""

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Count nothing."""
        return nullcontext(lambda done: None)


SILENT = Silent()


@dataclass(frozen=True)
class EpochMetrics:
    """A line of metrics.jsonl. Accuracies are of the validation split; the robust one is of a quick PGD.

    The balanced ones are means over classes, where the largest class has more than 3 times the images of the smallest.
    `class_accuracies`: the clean one of each class; None for one without images.
    `waiting`: the share of the epoch's steps that was spent waiting for images. `rolled_back`: training collapsed in
    this epoch and was taken back to the best one before. `eps`: of the attack in the epoch's last step; None where
    training has none.
    """

    epoch: int
    loss: float
    clean_accuracy: float
    robust_accuracy: float
    target_mass: float
    beta_min: float | None
    beta_max: float | None
    learning_rate: float
    images_per_s: float
    seconds: float
    waiting: float
    rolled_back: bool = False
    balanced_accuracy: float | None = None
    balanced_robust_accuracy: float | None = None
    class_accuracies: tuple[float | None, ...] = ()
    eps: float | None = None

    def figures(self) -> dict[str, float]:
        """Return what is one number, but for the epoch itself: name -> value."""
        numbers = {name: float(value) for name, value in asdict(self).items() if isinstance(value, int | float)}
        del numbers["epoch"]
        return numbers

    def score(self, select: Literal["mean", "clean", "robust"], *, balanced: bool = False) -> float:
        """Return what the best epoch is chosen by; of uneven classes the means over classes, if `balanced`."""
        clean, robust = self.clean_accuracy, self.robust_accuracy
        if balanced and self.balanced_accuracy is not None and self.balanced_robust_accuracy is not None:
            clean, robust = self.balanced_accuracy, self.balanced_robust_accuracy
        return {"clean": clean, "robust": robust, "mean": (clean + robust) / 2}[select]


class TrainReporter(Reporter, Protocol):
    """A reporter that also shows epochs."""

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Show what an epoch gave."""


class SilentTraining(Silent):
    """Says nothing: the reporter of all processes but the first."""

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Show nothing."""


def rank_and_world() -> tuple[int, int]:
    """Return this process's number and how many torchrun started; (0, 1) without it. The first one speaks for all."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
