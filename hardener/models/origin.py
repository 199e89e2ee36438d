"""What weights come from, against what they are taken for: architecture, classes, activation, size, normalisation."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from hardener.config.run_folder import RunFolder, unfinished
from hardener.errors import HardenerError
from hardener.models.build import Built
from hardener.models.checkpoints.doubt import Doubt
from hardener.models.checkpoints.told import Told, told_in
from hardener.models.checkpoints.weights import Loaded
from hardener.models.class_order import put_in_order
from hardener.models.conditions import noise
from hardener.models.normalize import normalization
from hardener.models.own_normalization import normalization_of
from hardener.models.registry import known_names
from hardener.progress import Reporter

_ALIKE = 1e-4  # two means or deviations that are one, written with other numbers of figures


def settle_origin(
    built: Built, began: Loaded, spec: str, init: Path | None, classes: Sequence[str], *, activation: str = "keep"
) -> tuple[list[str], list[Doubt]]:
    """Hold a network against what its weights' file says, and put its outputs in the order of the data's classes.

    Args:
        built: the network, with a final layer for `classes`; the rows of that may be put in another order.
        began: what came of loading the weights.
        spec: MODEL, as the user names it.
        init: the weights; None for those that it was built with.
        activation: what stands in place of its ReLUs, or will.
    Returns:
        What is to be said, and what speaks against it.
    """
    path, told = (spec, _told_of(built)) if init is None else (init, began.told)
    doubts = [*_of_architecture(path, told, spec), *began.doubts, *_of_activation(told, activation)]
    heads = built.answer.heads
    if began.fresh and began.fresh >= set(heads):
        return [], doubts
    remarks, more = put_in_order(built, told, path, classes)
    return remarks, [*doubts, *more]


def _told_of(built: Built) -> Told:
    """Return what a network of HuggingFace says of the weights that it was built with."""
    names = getattr(getattr(built.network, "config", None), "id2label", None)
    return told_in({"id2label": names}) if isinstance(names, dict) else Told()


def _of_architecture(path: object, told: Told, spec: str) -> list[Doubt]:
    registry, _, own = spec.partition(":")
    known = known_names(registry)
    theirs, ours = _bare(told.architecture or ""), _bare(own)
    if not known or theirs == ours or theirs not in known:
        return []
    return [
        Doubt(
            f"{path} says that its weights are of {theirs}, and the model is {ours}",
            f"Another network of the same tensors gives other answers. Pass {registry}:{theirs} as MODEL.",
            f"{registry}:{theirs} is the network that they were made for",
        )
    ]


def _bare(name: str) -> str:
    return name.lower().replace("-", "_").rpartition("/")[2].partition(".")[0]


def _of_activation(told: Told, activation: str) -> list[Doubt]:
    if told.run is None or told.activation == activation:
        return []
    was = "ReLU" if told.activation == "keep" else told.activation
    now = "ReLU" if activation == "keep" else activation
    return [
        Doubt(
            f"the network of {told.run} was trained with {was}, and here it has {now}",
            f"Evaluate the run itself: hardener eval {shlex.quote(str(told.run))} --data DIR.",
            f"Pass --set network.activation={told.activation} to go on with it",
        )
    ]


def other_size(told: Told, height: int, width: int) -> str | None:
    """Say that a run whose weights are taken saw images of another size; None where it did not."""
    if told.size is None or told.size == (height, width):
        return None
    side = "x".join(map(str, told.size)) if told.size[0] != told.size[1] else str(told.size[0])
    return (
        f"{told.run} was trained on images of {told.size[0]} x {told.size[1]}, and these are {height} x {width}: "
        f"--image-size {side} takes that size"
    )


def warn_if_unfinished(told: Told, init: Path | None, reporter: Reporter) -> None:
    """Say that the weights are the best so far of a run that was not trained to its end."""
    if told.run is None or init is None or init.parent == RunFolder(told.run).checkpoint.parent:
        return  # a checkpoint is of the way by itself
    run = RunFolder(told.run)
    with contextlib.suppress(HardenerError):  # another version's run: its weights are all that is asked for
        record, epochs = run.read_record(), run.read_recipe().epochs
        if record.status != "finished":
            reporter.warn(f"{run.path} {unfinished(run, record, epochs)}")


def normalization_of_origin(built: Built, told: Told) -> str | None:
    """Return how the images of weights were normalised, as `--normalize` takes it; None where that is not told, is not
    for so many channels, or where the network does it by itself."""
    if told.normalization is None:
        return None
    if normalization_of(built.network, noise(2, built.channels, built.height, built.width)) is not None:
        return None
    try:
        normalization(told.normalization, channels=built.channels, mean=(), std=())
    except HardenerError:
        return None
    return told.normalization


def other_normalization(built: Built, told: Told, init: Path, asked: str) -> str | None:
    """Say that images are normalised in another way than those of the weights; None where they are not.

    Args:
        asked: as `--normalize` takes it.
    """
    theirs = normalization_of_origin(built, told)
    if theirs is None:
        return None
    if asked != "data":
        ours, was = (normalization(text, channels=built.channels, mean=(), std=()) for text in (asked, theirs))
        pairs = zip((*ours[0], *ours[1]), (*was[0], *was[1]), strict=False)
        if len(ours[0]) == len(was[0]) and all(abs(one - other) < _ALIKE for one, other in pairs):
            return None
    return (
        f"images of {told.run or init} were normalised by {theirs}, and --normalize is {asked}: the network sees "
        f"others than in its training. Pass --normalize {theirs}"
    )
