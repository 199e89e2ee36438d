"""What every tracker has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PROJECT = "hardener"
"""Under which runs stand, where the tracker's own variables name nothing else."""


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers see it.

    Attributes:
        id: the same when the run goes on, and no other run's: letters, digits, - and _.
        settings: dotted key -> value.
    """

    id: str
    name: str
    settings: Mapping[str, Any]


class Tracker(Protocol):
    """Shows one run. Whatever it raises ends the tracking and not the training."""

    def begin(self, run: TrackedRun) -> None:
        """Open the run, or open it again where it goes on."""

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Add the figures of an epoch, which counts from 1."""

    def end(self, figures: Mapping[str, float | str], *, finished: bool) -> None:
        """Add what the run came to, and close it; `finished`: it will not go on."""
