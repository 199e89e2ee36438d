"""A path -> the splits of a data set, by whichever source knows the path."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from hardener.data.image_files import ImageFiles
from hardener.data.sources import SOURCES
from hardener.data.split import draw_from_each_class
from hardener.errors import HardenerError

SplitName = Literal["train", "validation", "test"]
Labelled = tuple[tuple[str, ...], ImageFiles]
"""The names of the classes, and images whose labels point into them."""


class Source(Protocol):
    """One way in which people keep labelled images. It opens no image; `data_set` draws the splits that it lacks."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is of this kind."""
        ...

    def splits(self, root: Path) -> frozenset[SplitName]:
        """Return which splits the data brings; none where it is not divided."""
        ...

    def read(self, root: Path, split: SplitName | None) -> Labelled:
        """Return a split that the data brings, or with None all of data that is not divided.

        Raises:
            HardenerError: no images, fewer than two classes, or a class without images.
        """
        ...


@dataclass(frozen=True)
class DataSet:
    """The splits of a data set; `test` is None where the data brings a train split and no test split."""

    classes: tuple[str, ...]
    train: ImageFiles
    validation: ImageFiles
    test: ImageFiles | None

    def listings(self) -> dict[str, str]:
        """Return, for each split that there is, the sha256 over the names of its images."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: hashlib.sha256("\n".join(files.paths).encode("utf-8", "surrogateescape")).hexdigest()
            for name, files in splits.items()
            if files is not None
        }


def read_data_set(
    root: Path,
    *,
    validation_root: Path | None = None,
    seed: int = 0,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> DataSet:
    """Find classes and splits; no image is opened.

    Splits that the data brings are taken as they stand. Where it brings train and no validation, that is drawn from
    train. Where it is not divided, validation and test are both drawn. Draws take the same share of each class and
    depend on seed and names alone, so a later call with the same images finds the same splits.

    Args:
        root: what one of `SOURCES` knows.
        validation_root: another one, not divided, to use as the validation split.
        val_fraction, test_fraction: the share of each class that is drawn, in (0, 0.5).
    Raises:
        HardenerError: no such path, no source knows it, no images, one class, a class without images or with too few
            to split, or classes that differ between splits.
    """
    source = source_of(root)
    held = source.splits(root)
    divided = "train" in held
    if held and not divided and validation_root is None:
        raise HardenerError(
            f"{root} has a {' and a '.join(sorted(held))} split but no train/. Put training images in "
            f"{root}/train/CLASS/, or, if these are class names, rename the class folders: no class may be called so."
        )
    classes, train = source.read(root, "train" if divided else None)
    test = _like(source.read(root, "test"), classes) if divided and "test" in held else None
    validation = None
    if validation_root is not None:
        validation = _like(source_of(validation_root).read(validation_root, None), classes)
    elif "validation" in held:
        validation = _like(source.read(root, "validation"), classes)
    if not divided:
        train, test = _draw(train, classes, test_fraction, f"{seed}/test")
    if validation is None:
        train, validation = _draw(train, classes, val_fraction, f"{seed}/validation")
    return DataSet(classes, train, validation, test)


def read_held_out(root: Path) -> tuple[tuple[str, ...], ImageFiles, str]:
    """Find the images to evaluate a model on that was not trained here.

    Returns:
        The classes, the images, and which split they are: `test` or `validation` where the data brings one, else
        `all`, every image there is.
    Raises:
        HardenerError: as `read_data_set`.
    """
    source = source_of(root)
    held = source.splits(root)
    for split in ("test", "validation"):
        if split in held:
            return *source.read(root, split), split
    return *source.read(root, None), "all"


def source_of(root: Path) -> Source:
    """Return the first of `SOURCES` that knows a path.

    Raises:
        HardenerError: no such path, or none does.
    """
    if not root.exists():
        raise HardenerError(f"no such folder: {root}.")
    for entry in SOURCES.values():
        source: Source = entry.load()()
        if source.recognises(root):
            return source
    known = "; ".join(entry.line for entry in SOURCES.values())
    raise HardenerError(f"{root} is a file that no source of images knows. Pass {known}.")


def _like(found: Labelled, classes: tuple[str, ...]) -> ImageFiles:
    own, files = found
    if own != classes:
        missing = sorted(set(classes) - set(own))
        extra = sorted(set(own) - set(classes))
        parts = [f"lacks {', '.join(missing[:5])}"] if missing else []
        parts += [f"has {', '.join(extra[:5])} besides"] if extra else []
        raise HardenerError(
            f"{files.root} has other classes than the training images: it {' and '.join(parts)}. Every split needs the "
            "same classes."
        )
    return files


def _draw(files: ImageFiles, classes: tuple[str, ...], fraction: float, salt: str) -> tuple[ImageFiles, ImageFiles]:
    count_of = Counter(files.labels)
    counts = [count_of[label] for label in range(len(classes))]
    if min(counts) < 2:
        name = classes[counts.index(min(counts))]
        raise HardenerError(
            f"{files.root / name} has too few images to hold some out for validation and test. Add images, or put "
            "the splits in folders of their own: train/, val/, test/."
        )
    kept, drawn = draw_from_each_class(files.paths, files.labels, fraction, salt)
    return files.pick(kept), files.pick(drawn)
