"""Trackio."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hardener.training.trackers._common import PROJECT, TrackedRun


class Trackio:
    """A run of Trackio, in the project of TRACKIO_PROJECT or `hardener`."""

    def __init__(self) -> None:
        import trackio

        self._trackio = trackio
        self._run: Any = None

    def begin(self, run: TrackedRun) -> None:
        """See `Tracker`."""
        self._run = self._trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=run.id,
            config=dict(run.settings),
            resume="allow",
            embed=False,
        )

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log({**figures, "epoch": epoch})

    def end(self, figures: Mapping[str, float | str], *, finished: bool) -> None:
        """See `Tracker`."""
        self._run.log(dict(figures))
        self._run.finish()
