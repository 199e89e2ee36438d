"""A run as it is told to a tracker: its settings, each epoch, and what it came to. Training needs none of it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hardener.config.dotted import flat
from hardener.config.run_folder import RunRecord
from hardener.config.schema import Recipe
from hardener.errors import HardenerError
from hardener.progress import EpochMetrics
from hardener.training.trackers import TRACKERS
from hardener.training.trackers._common import TrackedRun, Tracker

_MOST_TOLD = 200
"""Letters of what a tracker complains of: some put whole answers of a server there."""


def check_tracker(recipe: Recipe) -> None:
    """See that what the recipe tracks by is installed.

    Raises:
        HardenerError: it is not.
    """
    if recipe.track is not None and importlib.util.find_spec(TRACKERS[recipe.track].package) is None:
        raise HardenerError(
            f"--set track={recipe.track} needs {TRACKERS[recipe.track].package}, which is not installed: "
            "pip install 'hardener[trackers]'"
        )


class Tracking:
    """What tells a run's tracker of it, if it has one. Of several processes all may call it, and one speaks.

    Whatever the tracker raises is told to `warn`, once, and ends the tracking alone.
    """

    def __init__(self, recipe: Recipe, record: RunRecord, warn: Callable[[str], None], *, speaks: bool) -> None:
        self._recipe, self._record, self._warn = recipe, record, warn
        self._name = recipe.track if speaks else None
        self._tracker: Tracker | None = None

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Open the run for what is written inside, and close it with what the record says then."""
        with self._or_told():
            if self._name is not None:
                tracker: Tracker = TRACKERS[self._name].load()()
                tracker.begin(_tracked(self._recipe, self._record))
                self._tracker = tracker
        try:
            yield
        finally:
            with self._or_told():
                if self._tracker is not None:
                    self._tracker.end(_final(self._record), finished=self._record.status == "finished")

    def write(self, metrics: EpochMetrics) -> None:
        """Add an epoch."""
        with self._or_told():
            if self._tracker is not None:
                self._tracker.write(metrics.epoch, metrics.figures())

    @contextmanager
    def _or_told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # trackers raise nearly anything: of their own, of HTTP, of a disk
            self._tracker = None
            self._warn(
                f"{self._name} is not told of this run from here on, and training goes on without it: {_why(error)}"
            )


def _why(error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:_MOST_TOLD]}"


def _tracked(recipe: Recipe, record: RunRecord) -> TrackedRun:
    about: dict[str, Any] = {
        "model": record.model.spec,
        "data": record.data.root,
        "seed": record.seed,
        "device": record.device,
        "processes": record.processes,
        "hardener": record.versions.get("hardener"),
    }
    fit = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{record.name[:64]}-{record.created_at[:19]}")
    return TrackedRun(fit, record.name, about | dict(flat(recipe.model_dump(mode="json"))))


def _final(record: RunRecord) -> dict[str, float | str]:
    """Return what a run came to; the numbers are of the epoch that was kept."""
    told: dict[str, float | str] = {"status": record.status, "epochs_done": record.epochs_done}
    told["train_seconds"] = record.seconds
    if record.ended is not None:
        told["ended"] = record.ended
    if record.best is not None:
        best = {name: value for name, value in record.best.model_dump().items() if isinstance(value, int | float)}
        told |= {f"best_{name}": value for name, value in best.items()}
    return told
