"""What a conversion makes, and what several of them share."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from hardener.data.brought import SplitName
from hardener.data.file_kind import EXTENSIONS, kind_of_bytes
from hardener.data.split_names import split_of
from hardener.errors import HardenerError

NO_PAIR = "arrays of images without labels, or of labels without images, by their names"
_FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "PPM": ".ppm"}


@dataclass(frozen=True)
class Made:
    """An image that a conversion made: split, class, name without extension, and its file's ending and bytes."""

    split: SplitName | None
    label: str
    name: str
    ending: str
    data: bytes


@dataclass(frozen=True)
class Skipped:
    """Something that a conversion passes over, and why: `boxes of fewer than 8 pixels`."""

    reason: str
    name: str


def library(name: str, root: Path) -> Any:
    """Return what reads a kind of file, which not everybody has installed.

    Raises:
        HardenerError: it is not.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise HardenerError(f"{root} is read by {name}. Install it: pip install 'hardener[convert]'.") from None


def class_of(number: int, names: Sequence[str] | Mapping[int, str], where: str) -> str:
    """Return the name that a number stands for; the number itself where no names are told.

    Args:
        where: what messages call the image.
    Raises:
        HardenerError: names are told, and none for this number.
    """
    if not names:
        return str(number)
    told = names if isinstance(names, Mapping) else dict(enumerate(names))
    if not told.get(number):
        raise HardenerError(
            f"{where} has the class {number}, and {len(told)} classes are named, {min(told)} to {max(told)}. Name "
            "every class, or take it out."
        )
    return told[number]


def flat_parts(root: Path, *others: str) -> list[Path]:
    """Return the folders in which images and what is told of each may lie side by side: a folder itself, and below it
    those of splits, and others by their names."""
    return [
        root,
        *(root / name for name in names_in(root) if (split_of(name) or name in others) and (root / name).is_dir()),
    ]


def image_of(folder: Path, stem: str) -> Path | None:
    """Return the image of a name without its ending."""
    ways = (folder / f"{stem}{ending}" for end in EXTENSIONS for ending in (end, end.upper()))
    return next((way for way in ways if way.exists()), None)


def as_png(image: Image.Image) -> bytes:
    """Return an image's file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def ending_of(data: bytes, where: str) -> str:
    """Return the ending of an image file's name, by its bytes.

    Raises:
        HardenerError: they are no image that is read.
    """
    try:
        if kind_of_bytes(data) == "image":
            with Image.open(io.BytesIO(data)) as image:
                return _FORMATS.get(image.format or "", ".img")
    except OSError:
        pass
    raise HardenerError(f"{where} holds no image file.")


def just_below(root: Path) -> list[Path]:
    """Return the first of what lies one folder down, and two, hidden ones left out."""
    first = [root / name for name in names_in(root)]
    found = [*first, *(folder / name for folder in first for name in names_in(folder))]
    return [path for path in found if not path.name.startswith(".")]


def names_in(folder: Path, count: int = 64) -> list[str]:
    """Return the first names in a folder, sorted; none where there is no such folder."""
    try:
        return sorted(path.name for path in islice(folder.iterdir(), count))
    except OSError:
        return []
