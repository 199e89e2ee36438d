"""What is found in the data before training: said, put on record, and where asked for put right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hardener.config.data_findings import Alike, DataFound, are_uneven
from hardener.data.alike import describe_twins, find_alike, find_repeated, find_twins
from hardener.data.cache import PixelCache
from hardener.data.data_set import DataSet
from hardener.data.describe import describe, describe_input
from hardener.data.image_files import ImageFiles
from hardener.data.loader import ImageShape, LoadedImages, read_prints
from hardener.data.prints import Prints
from hardener.data.survey import Size, Survey
from hardener.errors import HardenerError
from hardener.progress import Reporter
from hardener.training.seen_before import SeenBefore


@dataclass(frozen=True)
class Looked:
    """What was found, and what the images of each split are known by again."""

    found: DataFound
    prints: Mapping[str, Prints]


@dataclass(frozen=True)
class Splits:
    """The images that training works on.

    Attributes:
        validation_prints: of all validation images, also those that were dropped.
        before: what the run's start has seen.
        dropped: validation images that are in train too and were left out, where that was asked for.
    """

    train: LoadedImages
    validation: LoadedImages
    validation_prints: Prints
    before: SeenBefore | None = None
    dropped: Alike | None = None


def look_at_data(
    folder: DataSet,
    splits: Splits,
    seen: Survey,
    asked_size: Size | None,
    cache: PixelCache | None,
    reporter: Reporter,
    *,
    balance: str,
    dedupe: bool,
) -> Looked:
    """Compare the splits, and say what was found.

    Args:
        seen: the headers of the training images.
        asked_size: what the user asked images to be brought to.
        balance: the recipe's `data.balance`.
        dedupe: copies are left out, here and where the run is judged.
    """
    shape = splits.train.shape
    prints: dict[str, Prints] = {"train": splits.train.prints, "validation": splits.validation_prints}
    if folder.test is not None:
        with reporter.track("looking at the test split", len(folder.test), "images") as advance:
            prints["test"] = read_prints(folder.test, shape, cache)
            advance(len(folder.test))
    with reporter.track("looking for copies", 1, "comparison"):
        found = facts_of(folder, prints, seen, shape, asked_size, cache, dropped=splits.dropped)
    reporter.show("data", found.rows())
    _warn(found, reporter, dedupe=dedupe)
    if splits.before is not None:
        splits.before.tell(prints, cache, reporter, dedupe=dedupe)
        prints |= splits.before.prints
    if are_uneven(found.splits["train"].classes.values()) and balance == "none":
        reporter.say(
            "accuracy is mostly that of the large classes. --set data.balance=sampler shows all classes equally often, "
            "--set data.balance=weights makes them count alike"
        )
    return Looked(found, prints)


def facts_of(
    folder: DataSet,
    prints: Mapping[str, Prints],
    seen: Survey,
    shape: ImageShape,
    asked_size: Size | None,
    cache: PixelCache | None,
    *,
    dropped: Alike | None = None,
) -> DataFound:
    """Return what is to be said of a data set: the same before training and where it is only looked at.

    Args:
        prints: of each split.
        seen: the headers of the training images.
        shape: what images are brought to.
        asked_size: what the user asked for.
        dropped: validation images that were left out because train has them.
    """
    files = {str(name): found for name, found in folder.splits.items()}
    alike = find_alike(files, prints, cache)
    if dropped is not None:
        alike = (dropped, *(fact for fact in alike if (fact.split, fact.other) != ("validation", "train")))
    return describe(
        folder.brought,
        {name: (found, folder.sources[name]) for name, found in folder.splits.items()},
        folder.classes,
        seen=seen,
        brought_to=describe_input((shape.height, shape.width), shape.channels, asked_size, seen),
        repeated=[find_repeated(name, found, prints[name], cache) for name, found in files.items()],
        alike=alike,
    )


def drop_copies(folder: DataSet, splits: Splits, load: Callable[[ImageFiles], LoadedImages]) -> Splits:
    """Leave out validation images that are copies of training images, or that the run's start was trained on.

    Args:
        load: reads the images that are left.
    Raises:
        HardenerError: all of them are.
    """
    twins = find_twins(splits.validation_prints, splits.train.prints)
    copies, before = twins.places >= 0, splits.before
    if before is not None:
        copies |= before.trained_on(splits.validation_prints)
    dropped = describe_twins("validation", folder.validation, "train", folder.train, twins, dropped=True)
    if not copies.any():
        return replace(splits, dropped=dropped)
    if copies.all():
        raise HardenerError(
            f"all {len(copies)} validation images are copies of training images{_or(before)}: --dedupe leaves none to "
            f"choose the epoch by. {before.way if before else ''}Name other images with --val DIR."
        )
    kept = folder.validation.pick(np.flatnonzero(~copies).tolist())
    return replace(splits, validation=load(kept), dropped=dropped)


def _or(before: SeenBefore | None) -> str:
    return "" if before is None else f", or {before.start} was trained on them"


def _warn(found: DataFound, reporter: Reporter, *, dedupe: bool) -> None:
    for fact in found.alike:
        if fact.count and dedupe:
            reporter.say(f"{fact.split} images that are {fact.other} images too are left out where the run is judged")
        elif fact.count and not fact.dropped:
            reporter.warn(f"{fact}. Figures of these are too high; --dedupe leaves them out")
    for repeat in found.repeated:
        if repeat.contradicting:
            reporter.warn(f"{repeat}: one of the two classes must be wrong")
        elif repeat.near_contradicting:
            reporter.warn(f"{repeat}. Look at them: one of the two classes may be wrong")
