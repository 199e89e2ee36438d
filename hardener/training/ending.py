"""A run that ends before its recipe's last epoch: a time limit, or epochs that bring nothing better."""

from __future__ import annotations

import math
import time

from hardener.words import duration

_TRIED_S = 5.0  # of steps, before they say how long an epoch takes
_CLEARLY = 1.5


class TimeLimit:
    """How long a command may take, counted from its own start.

    Args:
        seconds: None for as long as it takes.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds, self._began = seconds, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that are left; infinite without a limit."""
        return math.inf if self.seconds is None else self._began + self.seconds - time.monotonic()

    def is_hopeless(self, share: float, took: float) -> bool:
        """Tell whether an epoch of which a share is done, in so many seconds, will clearly not end in time."""
        return took > _TRIED_S and took / share - took > _CLEARLY * max(self.left, 0.0)

    def fault(self, share: float, took: float, command: str) -> str:
        """Say that not one epoch fits; `command` goes on with the run."""
        assert self.seconds is not None, "without a limit everything fits"
        before = max(self.seconds - self.left - took, 0.0)
        epoch = took / share if share else _CLEARLY * self.seconds
        enough = math.ceil(2 * (before + epoch) / 60)
        return (
            f"the time limit of {duration(self.seconds)} is shorter than an epoch: one takes about {duration(epoch)} "
            f"here, after {duration(before)} to begin. Nothing is lost; give it more: {command} --time-limit {enough}m"
        )


def has_stalled(best_epoch: int, epochs_done: int, patience: int | None) -> bool:
    """Tell whether as many epochs as `patience` have passed since the best one, counted from 1; None: never."""
    return patience is not None and epochs_done - best_epoch >= patience
