"""A folder of class folders -> lists of files and labels."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from hardener.data.split import draw_from_each_class
from hardener.errors import HardenerError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm")
TRAIN_NAMES = ("train", "training")
VALIDATION_NAMES = ("val", "valid", "validation")
TEST_NAMES = ("test", "testing")


@dataclass(frozen=True)
class ImageFiles:
    """One split: `paths` relative to `root`, and an index into the class list for each."""

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def pick(self, indices: list[int]) -> ImageFiles:
        """Return the files at these places, in this order."""
        return ImageFiles(self.root, tuple(self.paths[i] for i in indices), tuple(self.labels[i] for i in indices))


@dataclass(frozen=True)
class ImageFolder:
    """The splits of a data set; `test` is None where the data has train/ and no test/."""

    classes: tuple[str, ...]
    train: ImageFiles
    validation: ImageFiles
    test: ImageFiles | None

    def listings(self) -> dict[str, str]:
        """Return, for each split that there is, the sha256 over its file names."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: hashlib.sha256("\n".join(files.paths).encode("utf-8", "surrogateescape")).hexdigest()
            for name, files in splits.items()
            if files is not None
        }


def read_image_folder(
    root: Path,
    *,
    validation_root: Path | None = None,
    seed: int = 0,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> ImageFolder:
    """Find classes and splits below a folder; no image is opened.

    With `train/` below `root`, `val|valid|validation/` and `test/` are taken where they stand, and a missing
    validation split is drawn from train. With class folders directly below `root`, validation and test are both
    drawn. Draws take the same share of each class and depend on seed and file names alone, so a later call with
    the same files finds the same splits.

    Args:
        validation_root: a folder of class folders to use as the validation split.
        val_fraction, test_fraction: the share of each class that is drawn, in (0, 0.5).
    Raises:
        HardenerError: no such folder, no images, no class folders, one class, a class without images or with too
            few to split, or classes that differ between splits.
    """
    _check_folder(root)
    train_root = _first_folder(root, TRAIN_NAMES)
    own_validation = validation_root or _first_folder(root, VALIDATION_NAMES)
    test_root = _first_folder(root, TEST_NAMES)
    if train_root is None and (own_validation or test_root) and validation_root is None:
        names = "/, ".join(TRAIN_NAMES[:1] + VALIDATION_NAMES + TEST_NAMES[:1])
        raise HardenerError(
            f"{root} has {(own_validation or test_root or root).name}/ but no train/. Put training images in "
            f"{root}/train/CLASS/, or, if these are class names, name no class folder {names}/."
        )
    classes, train = read_class_folders(train_root or root)
    validation = None if own_validation is None else _same_classes(own_validation, classes)
    test = None if test_root is None or train_root is None else _same_classes(test_root, classes)
    if train_root is None:
        train, test = _draw(train, classes, test_fraction, f"{seed}/test")
    if validation is None:
        train, validation = _draw(train, classes, val_fraction, f"{seed}/validation")
    return ImageFolder(classes, train, validation, test)


def read_evaluation_folder(root: Path) -> tuple[tuple[str, ...], ImageFiles, str]:
    """Find the images to evaluate a model on that was not trained here.

    Returns:
        The classes, the files, and which split they are: `test` or `validation` where such a folder stands below
        `root`, else `all`, every image below the class folders.
    Raises:
        HardenerError: as `read_image_folder`.
    """
    _check_folder(root)
    for name, candidates in (("test", TEST_NAMES), ("validation", VALIDATION_NAMES)):
        folder = _first_folder(root, candidates)
        if folder is not None:
            return *read_class_folders(folder), name
    return *read_class_folders(root), "all"


def read_class_folders(root: Path) -> tuple[tuple[str, ...], ImageFiles]:
    """List the images below each class folder of `root`, classes and files sorted by name.

    Raises:
        HardenerError: no images, no class folders, one class, or a class without images.
    """
    _check_folder(root)
    classes = tuple(sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and _visible(entry.name)))
    if not classes:
        count = sum(_is_image(name) for name in os.listdir(root))
        found = f"{count} image{'s' if count != 1 else ''}" if count else "no images"
        raise HardenerError(
            f"{root} has {found} and no class folders. Put each class in its own folder: {root}/cat/001.jpg."
        )
    paths: list[str] = []
    labels: list[int] = []
    empty = []
    for label, name in enumerate(classes):
        found_here = sorted(_images_below(root / name))
        if not found_here:
            empty.append(name)
        paths += [os.path.join(name, path) for path in found_here]
        labels += [label] * len(found_here)
    if not paths:
        listed = ", ".join(EXTENSIONS)
        raise HardenerError(f"{root} has {len(classes)} folders and no images ({listed}) in any of them.")
    if empty:
        raise HardenerError(
            f"{root} has class folders without images: {', '.join(empty[:5])}. Fill them or remove them."
        )
    if len(classes) == 1:
        raise HardenerError(f"{root} has one class, {classes[0]!r}; a classifier needs two or more class folders.")
    return classes, ImageFiles(root, tuple(paths), tuple(labels))


def _same_classes(root: Path, classes: tuple[str, ...]) -> ImageFiles:
    found, files = read_class_folders(root)
    if found != classes:
        missing = sorted(set(classes) - set(found))
        extra = sorted(set(found) - set(classes))
        parts = [f"lacks {', '.join(missing[:5])}"] if missing else []
        parts += [f"has {', '.join(extra[:5])} besides"] if extra else []
        raise HardenerError(
            f"{root} has other classes than the training images: it {' and '.join(parts)}. Every split needs the "
            "same class folders."
        )
    return files


def _draw(files: ImageFiles, classes: tuple[str, ...], fraction: float, salt: str) -> tuple[ImageFiles, ImageFiles]:
    counts = [files.labels.count(label) for label in range(len(classes))]
    if min(counts) < 2:
        name = classes[counts.index(min(counts))]
        raise HardenerError(
            f"{files.root / name} has too few images to hold some out for validation and test. Add images, or put "
            "the splits in folders of their own: train/, val/, test/."
        )
    kept, drawn = draw_from_each_class(files.paths, files.labels, fraction, salt)
    return files.pick(kept), files.pick(drawn)


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise HardenerError(f"no such folder: {root}.")
    if not root.is_dir():
        raise HardenerError(f"{root} is a file; DIR is a folder of class folders: {root}/cat/001.jpg.")


def _first_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))


def _is_image(name: str) -> bool:
    return _visible(name) and name.lower().endswith(EXTENSIONS)


def _images_below(folder: Path) -> list[str]:
    return [
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if _is_image(name)
    ]
