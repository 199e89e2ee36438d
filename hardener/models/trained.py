"""A run folder -> its classifier. This room sees a run's record, which others below `training` do not: training,
evaluation and export all open runs, and reading files is this room's work."""

from __future__ import annotations

from pathlib import Path

from hardener.config.bundle import sha256_of
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.train_command import train_command
from hardener.errors import HardenerError
from hardener.models.activation import replace_activations
from hardener.models.buffers import keep_all_buffers
from hardener.models.build import build_for, fit_head
from hardener.models.checkpoints.weights import load_weights
from hardener.models.load import ModelChoice
from hardener.models.normalize import ImageClassifier


def open_with_fingerprint(run: RunFolder, record: RunRecord) -> tuple[ImageClassifier, str]:
    """Build a run's classifier, and return the sha256 of the very weights that it holds.

    A run that is still trained may replace its weights meanwhile: they are read until they stand still.
    """
    before = None
    while True:
        classifier, found = open_classifier(run, record), sha256_of(run.weights)
        if record.status == "finished" or found == before:
            return classifier, found
        before = found


def changed_code(run: RunFolder, record: RunRecord) -> str | None:
    """Say which files that a run's network is built from are no longer those of its training, and what to do.

    Returns:
        None where all are, or where the run does not say, as those of version 0.2 and before do not.
    """
    built_from = {**record.model.files, **record.model.outside}  # the latter by whole paths
    changed = [name for name, known in built_from.items() if _sha256(run.path / name) != known]
    if not changed:
        return None
    named = ", ".join(str(run.path / name) for name in changed[:3]) + (" …" if len(changed) > 3 else "")
    are, them = ("is", "it") if len(changed) == 1 else ("are", "them")
    return (
        f"{named} {are} not as in the training of {run.path}: its weights may now run in another network. Put {them} "
        "back as before, or train a run of the changed code"
    )


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None


def _why_not(run: RunFolder, record: RunRecord) -> str:
    """Say why a run has no weights, and what to do."""
    if record.status != "finished":
        return f"{run.path} has no trained weights yet. Go on with: {run.going_on}"
    again = train_command(run, record)
    return f"{run.weights} is missing, and the run is finished. Put the file back, or train it again: {again}"


def open_classifier(run: RunFolder, record: RunRecord, *, weights: bool = True) -> ImageClassifier:
    """Build a run's classifier from the files in its folder, on the CPU, in eval mode.

    Args:
        weights: load the run's best weights; else the network stays as it is built.
    Raises:
        HardenerError: the run has no weights yet, they are gone, or its model file no longer builds.
    """
    if weights and not run.weights.is_file():
        raise HardenerError(_why_not(run, record))
    shape = record.input
    file = record.model.file
    choice = ModelChoice(
        record.model.spec if file is None else str(run.path / file),
        record.model.entry,
        record.model.arguments,
        root=None if file is None else run.model_files,
        pretrained=False,  # the run's weights are loaded over what it is built with
        first_exit=shape.exit == "first",
    )
    built = build_for(
        choice,
        num_classes=len(record.classes),
        channels=[shape.channels],
        height=shape.height,
        width=shape.width,
    )
    replaced = record.model.replaced_head
    built, _, _ = fit_head(
        built,
        len(record.classes),
        replace=replaced is not None,
        heads=None if replaced is None else replaced.split(", "),
    )
    replace_activations(
        built.network, record.model.activation, channels=shape.channels, height=shape.height, width=shape.width
    )
    unsaved = keep_all_buffers(built.network)
    if weights:
        load_weights(built.network, run.weights, unsaved=unsaved)
    classifier = ImageClassifier(built.network, mean=shape.mean, std=shape.std, classes=record.classes)
    classifier.contiguous, classifier.writes = shape.layout == "contiguous", shape.copied
    classifier.paired = shape.paired
    classifier.way, classifier.heads = built.way, built.answer.heads
    classifier.way_in_training = None if shape.taught is None else tuple(shape.taught)
    return classifier.eval()
