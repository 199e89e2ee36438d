"""A run folder -> its classifier. This room sees a run's record, which others below `training` do not: training,
evaluation and export all open runs, and reading files is this room's work."""

from __future__ import annotations

from hardener.config.run_folder import RunFolder, RunRecord
from hardener.errors import HardenerError
from hardener.models.normalize import ImageClassifier
from hardener.models.rebuild import rebuild


def open_classifier(run: RunFolder, record: RunRecord, *, weights: bool = True) -> ImageClassifier:
    """Build a run's classifier from the files in its folder, on the CPU, in eval mode.

    Args:
        weights: load the run's best weights; else the network stays as it is built.
    Raises:
        HardenerError: the run has no weights yet, or its model file no longer builds.
    """
    if weights and not run.weights.is_file():
        raise HardenerError(f"{run.path} has no trained weights yet. Go on with: hardener train --resume {run.path}")
    return rebuild(
        record.model.spec if record.model.file is None else str(run.path / record.model.file),
        entry=record.model.entry,
        classes=record.classes,
        channels=record.input.channels,
        height=record.input.height,
        width=record.input.width,
        mean=record.input.mean,
        std=record.input.std,
        replaced_head=record.model.replaced_head is not None,
        activation=record.model.activation,
        weights=run.weights if weights else None,
    )
