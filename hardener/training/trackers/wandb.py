"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from hardener.training.trackers._common import PROJECT, TrackedRun

_INIT_TIMEOUT_S = 20


class Wandb:
    """A run of Weights & Biases, in the project of WANDB_PROJECT or `hardener`."""

    def __init__(self) -> None:
        import wandb

        self._wandb = wandb
        self._run: Any = None

    def begin(self, run: TrackedRun) -> None:
        """See `Tracker`."""
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.id,
            name=run.name,
            config=dict(run.settings),
            resume="allow",
            settings=self._wandb.Settings(init_timeout=_INIT_TIMEOUT_S, silent=True),
        )
        self._run.define_metric("*", step_metric="epoch")  # its own steps may not go back, and a collapse does

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._run.log({**figures, "epoch": epoch})

    def end(self, figures: Mapping[str, float | str], *, finished: bool) -> None:
        """See `Tracker`."""
        self._run.summary.update(dict(figures))
        self._run.finish(exit_code=0 if finished else 1)
