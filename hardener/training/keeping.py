"""What is kept of a run so that it can be used and can go on: best weights, checkpoint, record."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from torch import nn

from hardener.config.run_folder import BestRecord, RunFolder, RunRecord, Status
from hardener.models.checkpoints.weights import save_weights
from hardener.progress import EpochMetrics, rank_and_world
from hardener.runtime.processes import sum_of
from hardener.training.checkpoint import before, save_checkpoint
from hardener.training.state import TrainingState

SAVE_EVERY_S = 60.0


def spares(run: RunFolder) -> list[Path]:
    """Return what lies there that only an unfinished run needs."""
    return [spare for spare in (before(run.checkpoint), run.good_checkpoint) if spare.is_file()]


def drop_spares(run: RunFolder) -> None:
    """Remove what only an unfinished run needs."""
    for spare in spares(run):
        spare.unlink(missing_ok=True)


class Keeper:
    """Keeps a run's state on disk. Of several processes all must call it alike; the first writes.

    Attributes:
        kept: epoch and images of the last checkpoint.
    """

    def __init__(self, run: RunFolder, record: RunRecord, state: TrainingState) -> None:
        self._run, self._record, self._state = run, record, state
        self._rank, self._world = rank_and_world()
        self._timed = self._saved = time.monotonic()
        self.kept = (0, 0)

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old; the first process's clock decides."""
        return self._rank == 0 and time.monotonic() - self._saved > SAVE_EVERY_S

    def put_away(self, status: Status) -> None:
        """Bring checkpoint and record up to now."""
        state, record, now = self._state, self._record, time.monotonic()
        state.seconds += now - self._timed
        self._timed = now
        if self._world > 1:
            state.progress.loss_sum = sum_of(state.progress.loss_sum) / self._world
        save_checkpoint(self._run.checkpoint, state, write=self._rank == 0)
        self._saved = time.monotonic()
        self.kept = (state.progress.epoch, state.progress.images)
        record.status = status
        record.epochs_done = state.progress.epoch
        record.seconds = round(state.seconds, 3)
        self._write_record()

    def is_better(self, metrics: EpochMetrics, score: float, stage: Callable[[float | None], int]) -> bool:
        """Tell whether an epoch is better than the best one so far.

        Where eps rises, one of less eps has more accuracy, and does not stand what the run is asked for.

        Args:
            stage: tells of an epoch's eps how far it is on its way to what the run is to come to.
        """
        best = self._record.best
        if best is not None and stage(metrics.eps) != stage(best.eps):
            return stage(metrics.eps) > stage(best.eps)
        return score > self._state.best_score

    def keep_best(self, network: nn.Module, metrics: EpochMetrics, score: float) -> None:
        """Keep the weights of the best epoch so far.

        Args:
            network: whole, on any device.
        """
        if self._rank == 0:
            save_weights(network, self._run.weights)
        self._state.best_score = score
        self._state.best = self._record.best = BestRecord(
            epoch=metrics.epoch,
            score=score,
            clean_accuracy=metrics.clean_accuracy,
            robust_accuracy=metrics.robust_accuracy,
            balanced_accuracy=metrics.balanced_accuracy,
            class_accuracies=list(metrics.class_accuracies),
            eps=metrics.eps,
        )

    def fail(self) -> None:
        """Put on record that the run came to nothing."""
        self._record.status = "failed"
        self._write_record()

    def _write_record(self) -> None:
        if self._rank == 0:
            self._run.write_record(self._record)
