"""A folder of class folders -> classes and labelled images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hardener.data.image_files import ImageFiles
from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.data.data_set import Labelled, SplitName

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm")
SPLIT_NAMES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


class ImageFolder:
    """A folder of class folders, alone or below folders that are named like splits."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is a folder."""
        return root.is_dir()

    def splits(self, root: Path) -> frozenset[SplitName]:
        """Return the splits that have a folder: `train/`, `val/`, `valid/` or `validation/`, `test/` and the like."""
        return frozenset(split for split in SPLIT_NAMES if _split_folder(root, split) is not None)

    def read(self, root: Path, split: SplitName | None) -> Labelled:
        """Return the images of one split, or of the class folders directly below `root`.

        Raises:
            HardenerError: see `read_class_folders`.
        """
        folder = None if split is None else _split_folder(root, split)
        return read_class_folders(root if folder is None else folder)


def read_class_folders(root: Path) -> tuple[tuple[str, ...], ImageFiles]:
    """List the images below each class folder of `root`, classes and files sorted by name.

    Raises:
        HardenerError: no images, no class folders, one class, or a class without images.
    """
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


def _split_folder(root: Path, split: SplitName) -> Path | None:
    return next((root / name for name in SPLIT_NAMES[split] if (root / name).is_dir()), None)


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
