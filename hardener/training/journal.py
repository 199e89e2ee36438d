"""What is written of each epoch for people to read: metrics.jsonl, TensorBoard events, and the training curves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from hardener.config.files import write_text
from hardener.config.run_folder import RunFolder
from hardener.config.schema import Recipe
from hardener.progress import EpochMetrics
from hardener.reports.training_curves import draw_curves
from hardener.vicinity.worst_point import Settings as Ball

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Journal:
    """The journal of a run. Of several processes all may call it, and one writes.

    Training needs none of it: what cannot be written is told to `warn`, and ends nothing.
    """

    def __init__(self, run: RunFolder, warn: Callable[[str], None], *, writes: bool) -> None:
        self._run, self._warn, self._writes = run, warn, writes
        self._events: SummaryWriter | None = None

    def keep_rows(self, count: int) -> None:
        """Forget epochs that were logged and then lost with the machine: they are trained again."""
        if self._writes and self._run.metrics.is_file():
            lines = self._run.metrics.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[:count]
            write_text(self._run.metrics, "".join(line for line in lines if line.endswith("\n")))

    @contextmanager
    def events(self, *, epochs_done: int) -> Iterator[None]:
        """Put what is written inside on TensorBoard too, and take off it what was there of later epochs."""
        if not self._writes:
            yield
            return
        from torch.utils.tensorboard import SummaryWriter

        with self._told("TensorBoard's events"):
            self._events = SummaryWriter(str(self._run.tensorboard), purge_step=epochs_done + 1)
        try:
            yield
        finally:
            with self._told("TensorBoard's events"):
                if self._events is not None:
                    self._events.close()
            self._events = None

    def write(self, metrics: EpochMetrics) -> None:
        """Add an epoch."""
        if not self._writes:
            return
        with self._told("the epoch's line"), self._run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(metrics)) + "\n")
        with self._told("TensorBoard's events"):
            if self._events is not None:
                for name, value in metrics.figures().items():
                    self._events.add_scalar(name, value, metrics.epoch)
                self._events.flush()

    def draw(self, recipe: Recipe, *, title: str) -> None:
        """Draw the curves of all epochs so far, if there are any."""
        rows = self._run.read_metrics() if self._writes else []
        with self._told("the curves"):
            if rows:
                ball, threat = recipe.vicinity.find(Ball), str(recipe.validation.threat)
                norm = "" if ball is None else ball.norm
                draw_curves(rows, self._run.curves, title=title, threat=threat, norm=norm)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._warn(f"{what} could not be written: {error.strerror or error}")
