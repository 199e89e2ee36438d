"""The images that a run's model is judged by: found by name, or where they moved by content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hardener.config.data_path import is_there, lasting
from hardener.config.evaluation_record import Flag
from hardener.config.reading import Reading
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.data.brought import Brought
from hardener.data.cache import PixelCache
from hardener.data.data_set import DataSet, HeldOut, read_data_set, read_held_out
from hardener.data.image_files import ImageFiles
from hardener.data.prints import Prints, equal_places, kept_prints, read_digests
from hardener.errors import HardenerError
from hardener.evaluation.seen import HeldOutBy, Seen
from hardener.progress import Reporter
from hardener.words import plain

Split = Literal["test", "validation", "all"]
_ONLY_VALIDATION = (
    "no test split below the data folder: evaluating on the validation split, which also chose the epoch that was "
    "kept, so the figures may be a little high"
)


@dataclass(frozen=True)
class Judging:
    """Images that a model is judged by.

    Attributes:
        source: where they come from.
        brought: what the source of the data gave.
        seen: what the run has seen; None for a run that keeps no record of it.
        own: whether the run held them out.
    """

    files: ImageFiles
    split: Split
    root: Path
    source: str
    brought: Brought
    flags: list[Flag]
    seen: Seen | None
    own: HeldOutBy


def held_out(
    run: RunFolder, record: RunRecord, data: Path | None, reading: Reading | None, reporter: Reporter
) -> Judging:
    """Find the run's test split, or its validation split where there is no other; or the images that were asked for.

    Splits that were drawn are found again by content where images moved or were renamed.

    Raises:
        HardenerError: the images are gone, or have other classes.
    """
    prints = kept_prints(run)
    own = Path(record.data.root)
    if data is not None and lasting(data) != own:
        return _elsewhere(run, record, data, reading or record.data.reading.elsewhere(), prints, reporter)
    if not is_there(own):
        raise HardenerError(
            f"the run's images are no longer at {own}. Say where they are now with --data DIR: drawn splits are found "
            "again by content."
        )
    folder = _own(run, record, reading or record.data.reading, reporter)
    split: Literal["validation", "test"] = "validation" if folder.test is None else "test"
    files = folder.validation if folder.test is None else folder.test
    flags: list[Flag] = []
    listings = folder.listings()
    changed = [name for name, digest in record.data.listings.items() if listings.get(name) != digest]
    found = None
    if changed and prints and split in record.data.drawn:
        everything = [part for name, part in folder.splits.items() if name == "train" or name in record.data.drawn]
        found = _again(run, everything, prints, split, reporter)
    if found is not None:
        files, flags = found
    elif changed:
        message = (
            f"the files below {own} have changed since the run was trained ({', '.join(changed)} split): images "
            "evaluated here may have been trained on"
        )
        reporter.warn(message)
        flags.append(Flag(id="data-changed", message=message, page="docs/flags.md#data-changed"))
    if split == "validation":
        reporter.say(_ONLY_VALIDATION)
    rows = prints[split].digests if split in prints and not changed else []
    known = dict(zip(map(plain, files.paths), rows, strict=True)) if rows else {}
    seen = Seen(prints, known, selected=split == "test") if prints else None
    return Judging(files, split, own, folder.sources[split], folder.brought, flags, seen, HeldOutBy(True))


def _own(run: RunFolder, record: RunRecord, reading: Reading, reporter: Reporter) -> DataSet:
    recipe = run.read_recipe()
    folder = read_data_set(
        Path(record.data.root),
        reading=reading.grouped(recipe.data.group_by),
        **record.data.other_roots(),
        seed=record.seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
        reporter=reporter,
    )
    if list(folder.classes) != record.classes:
        raise HardenerError(
            f"the class folders below {record.data.root} have changed since {run.path} was trained on them."
        )
    return folder


def _elsewhere(
    run: RunFolder, record: RunRecord, data: Path, reading: Reading, prints: dict[str, Prints], reporter: Reporter
) -> Judging:
    """Return images of another place; of the run's own that moved, those that it held out."""
    asked: HeldOut = read_held_out(data, reading, known=tuple(record.classes), reporter=reporter)
    split: Split = asked.split
    files, source = asked.files, asked.source
    flags: list[Flag] = []
    own: Split = "test" if "test" in prints else "validation"
    whose = HeldOutBy(wanted=prints.get(own))
    if split == "all" and prints:
        found = _again(run, [files], prints, own, reporter) if own in record.data.drawn else None
        if found is not None:
            (files, flags), split, source = found, own, f"the {own} split of {run.path}, found by content"
            whose = HeldOutBy(not flags)
    if split == "validation" and source != asked.source:
        reporter.say(_ONLY_VALIDATION)
    selected = split != "validation" or source == asked.source
    if not prints:
        reporter.say(f"{run.path} keeps no record of its images: whether it was trained on these is not known")
    known = Seen(prints, selected=selected) if prints else None
    return Judging(files, split, data, source, asked.brought, flags, known, whose)


def _again(
    run: RunFolder, parts: Sequence[ImageFiles], prints: dict[str, Prints], split: Split, reporter: Reporter
) -> tuple[ImageFiles, list[Flag]] | None:
    """Return the images that the run held out, found by content among others; None where they are not there.

    A flag says if some are missing.
    """
    recipe = run.read_recipe()
    cache = PixelCache(recipe.data.cache_gb, reporter.warn) if recipe.data.cache else None
    wanted = prints[split]
    left = Counter(wanted.digests)
    paths: list[str] = []
    labels: list[int] = []
    trained = 0
    for files in parts:
        with reporter.track("looking for the run's images", len(files), "images") as advance:
            digests = read_digests(files, cache, advance)
        found = digests.digests
        trained += int((equal_places(digests, prints["train"]) >= 0).sum())
        for place in np.flatnonzero(equal_places(digests, wanted) >= 0).tolist():
            if left[found[place]] > 0:  # of several copies, as many as were held out
                left[found[place]] -= 1
                paths.append(files.paths[place])
                labels.append(files.labels[place])
    if not paths or not trained:
        return None
    files = ImageFiles(parts[0].root, tuple(paths), tuple(labels), parts[0].store)
    reporter.say(
        f"the images that {run.path} held out were found again by their contents: {len(paths)} of {len(wanted)}"
    )
    missing = left.total()
    if not missing:
        return files, []
    message = (
        f"{missing} of the {len(wanted)} images that the run held out are gone or have other contents; the others are "
        "evaluated"
    )
    reporter.warn(message)
    return files, [Flag(id="data-changed", message=message, page="docs/flags.md#data-changed")]
