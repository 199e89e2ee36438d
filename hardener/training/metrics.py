"""What an epoch gave, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from hardener.progress import Reporter, Silent


@dataclass(frozen=True)
class EpochMetrics:
    """A line of metrics.jsonl. Accuracies are of the validation split; the robust one is of a quick PGD.

    `waiting`: the share of the epoch's steps that was spent waiting for images. `rolled_back`: training collapsed in
    this epoch and was taken back to the best one before.
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

    def score(self, select: Literal["mean", "clean", "robust"]) -> float:
        """Return what the best epoch is chosen by."""
        clean, robust = self.clean_accuracy, self.robust_accuracy
        return {"clean": clean, "robust": robust, "mean": (clean + robust) / 2}[select]


class TrainReporter(Reporter, Protocol):
    """A reporter that also shows epochs."""

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Show what an epoch gave."""


class SilentTraining(Silent):
    """Says nothing: the reporter of all processes but the first."""

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Show nothing."""
