"""A table that holds the pixels themselves, as Kaggle's digits, sign language and FER-2013 do -> class folders."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hardener.data.conversions._made import Made, Skipped, as_png
from hardener.data.split_names import split_of
from hardener.errors import HardenerError

_ENDINGS = (".csv", ".tsv")
_LIST = re.compile(r"pixels?|pixel[\W_]?values?|image[\W_]?pixels?", re.I)
_ONE = re.compile(r"(?:pixel|px|p|x|attr)?[\W_]?\d+(?:[x_]\d+)?", re.I)
_LABELS = ("label", "labels", "class", "target", "emotion", "y", "category")
_COUNTED = re.compile(
    r"(?:(?:image|img|file|row)[\W_]*)?(?:id|index|idx|no|number)|(?:image|img|file)[\W_]*(?:name)?|unnamed.*|", re.I
)
_SPLITS = ("usage", "split", "set", "subset")
_FEWEST = 64
_HEAD = 1 << 20  # bytes


class PixelTable:
    """A row an image: a class, and a column for each pixel, or one that lists them."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a table, by its first two lines."""
        if not root.is_file() or not root.name.lower().endswith(_ENDINGS):
            return False
        with root.open("rb") as file:
            lines = file.read(_HEAD).decode("utf-8-sig", "replace").splitlines()[:2]
        rows = list(csv.reader(lines, delimiter=_delimiter(root)))
        return len(rows) == 2 and _places(rows[0], rows[1]) is not None

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield each row.

        Raises:
            HardenerError: no column is known to hold classes; a row has other pixels than the first, or they make no
                square.
        """
        stem = root.name.rpartition(".")[0]
        with root.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=_delimiter(root))
            first, second = next(rows), next(rows)
            told, pixels, split = _places(first, second) or ([], [], None)
            label = _label(first, told, root)
            for number, row in enumerate((second, *rows) if not _is_number(first[label]) else (first, second, *rows)):
                if len(row) != len(first):
                    raise HardenerError(f"row {number + 1} of {root} has {len(row)} cells, and the first {len(first)}.")
                if not row[label].strip():
                    yield Skipped("rows without a class", f"{number + 1}")
                    continue
                cells = row[pixels[0]].split() if len(pixels) == 1 else [row[place] for place in pixels]
                own = None if split is None else split_of(re.sub("^(?:Public|Private)", "", row[split]))
                image = as_png(_image(cells, f"row {number + 1} of {root}"))
                yield Made(own, row[label].strip(), f"{stem}-{number:06}", ".png", image)


def _places(header: Sequence[str], row: Sequence[str]) -> tuple[list[int], list[int], int | None] | None:
    """Return the columns that may hold the class, those of pixels, and that of the split; None for another table."""
    names = [name.strip() for name in header]
    listed = [place for place, name in enumerate(names) if _LIST.fullmatch(name)]
    if len(listed) == 1 and len(row) == len(names) and len(row[listed[0]].split()) >= _FEWEST:
        pixels = listed
    else:
        pixels = [place for place, name in enumerate(names) if _ONE.fullmatch(name)]
        if all(map(_is_number, names)):  # no header: the class comes first
            pixels = list(range(1, len(names)))
        if len(pixels) < _FEWEST or len(names) - len(pixels) > 4:
            return None
    rest = [place for place in range(len(names)) if place not in set(pixels)]
    split = next((place for place in rest if names[place].lower() in _SPLITS), None)
    told = [place for place in rest if names[place].lower() in _LABELS][:1]
    spare = [place for place in rest if place != split and not _COUNTED.fullmatch(names[place])]
    return told or spare, pixels, split


def _label(header: Sequence[str], told: Sequence[int], root: Path) -> int:
    """Return the column of classes.

    Raises:
        HardenerError: there is none, or it may be one of several.
    """
    if not told:
        raise HardenerError(
            f"{root} has no column of classes: images without a class are no data to train or evaluate on. Pass the "
            "table of the training images, or add a column called label."
        )
    if len(told) > 1:
        names = ", ".join(header[place] for place in told)
        raise HardenerError(f"{root} has the columns {names}; any may hold the classes. Call the one that does label.")
    return told[0]


def _image(cells: Sequence[str], where: str) -> Image.Image:
    try:
        values = np.array(cells, np.float64)
    except ValueError:
        raise HardenerError(f"{where} has pixels that are no numbers.") from None
    if values.size and (values.min() < 0 or values.max() > 255):
        raise HardenerError(f"{where} has levels from {values.min():g} to {values.max():g}; 0 to 255 are read.")
    for channels in (1, 3):
        side = round((len(values) / channels) ** 0.5)
        if side * side * channels == len(values):
            shape = (side, side) if channels == 1 else (side, side, 3)
            return Image.fromarray(values.round().astype(np.uint8).reshape(shape))
    raise HardenerError(f"{where} has {len(values)} pixels, which make no square image.")


def _delimiter(root: Path) -> str:
    return "\t" if root.name.lower().endswith(".tsv") else ","


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdecimal()
