"""YOLO: a text file an image, a box a line, in labels/ or beside it -> what lies in each box, in class folders."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hardener.data.conversions._cut import Box, cut_out, size_of
from hardener.data.conversions._made import Made, Skipped, class_of, flat_parts, image_of, names_in
from hardener.data.split_names import first_split
from hardener.data.tables.table import lines_in
from hardener.errors import HardenerError

_LINE = re.compile(r"\d+(?:\s+[-+.\deE]+){4,}\s*")
_BEYOND = 0.1  # how far a shape may lie outside of its image
_NAMES = ("classes.txt", "obj.names", "labels.txt")


class Yolo:
    """A folder with images/train and labels/train, or train/images and train/labels, or images/ and labels/; or one in
    which each text file lies beside its image."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a folder, or its data.yaml."""
        return any(map(_is_labels, _label_folders(_home(root))))

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield what lies in each box; data.yaml or classes.txt names the classes.

        Raises:
            HardenerError: a line or an image cannot be read.
        """
        home = _home(root)
        names, points = _class_names(root), _key_points(root)
        for folder in _label_folders(home):
            parts = folder.relative_to(home).parts
            split = first_split(parts)
            images = home.joinpath(*("images" if part == "labels" else part for part in parts))
            for path in sorted(folder.glob("*.txt")):
                file = image_of(images, path.stem)
                if file is not None and path.stat().st_size:
                    yield from cut_out(file, _boxes(path, file, names, points), split, path.stem)
                elif file is None and path.name not in _NAMES and _has_boxes(path):
                    yield Skipped("files of boxes without their image", path.name)


def _home(root: Path) -> Path:
    return root.parent if root.suffix.lower() in {".yaml", ".yml"} else root


def _label_folders(home: Path) -> list[Path]:
    if not home.is_dir():
        return []
    ways = [home / "labels", *(home / name / "labels" for name in names_in(home))]
    own = [
        found
        for way in ways
        if way.is_dir()
        for found in (way, *(way / name for name in names_in(way, 16)))
        if found.is_dir()
    ]
    return own or [folder for folder in flat_parts(home, "obj_train_data", "obj_valid_data") if _is_beside(folder)]


def _is_beside(folder: Path) -> bool:
    """Tell whether text files of boxes lie beside the images that they tell of."""
    stems = [
        name.removesuffix(".txt") for name in names_in(folder, 2000) if name.endswith(".txt") and name not in _NAMES
    ]
    return any(image_of(folder, stem) for stem in stems[:4]) and _is_labels(folder)


def _is_labels(folder: Path) -> bool:
    """Tell whether the first text file in a folder has lines such as `0 0.5 0.5 0.2 0.3`."""
    found = [folder / name for name in names_in(folder) if name.endswith(".txt") and name not in _NAMES]
    return any(map(_has_boxes, [path for path in found if path.stat().st_size][:1]))


def _has_boxes(path: Path) -> bool:
    with path.open("rb") as file:
        return _LINE.fullmatch(file.readline(400).decode("utf-8", "replace")) is not None


def _told(root: Path, key: str) -> Any:
    """Return what data.yaml says of a thing; None where it says nothing."""
    for path in [root, *sorted(_home(root).glob("*.y*ml"))]:
        if path.suffix.lower() in {".yaml", ".yml"} and path.is_file():
            try:
                found: Any = yaml.safe_load(path.read_text("utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise HardenerError(f"{path} cannot be read: {error}.") from None
            if isinstance(found, dict) and found.get(key) is not None:
                return found[key]
    return None


def _class_names(root: Path) -> dict[int, str]:
    names = _told(root, "names")
    if isinstance(names, dict | list):
        return {int(key): str(name) for key, name in (names.items() if isinstance(names, dict) else enumerate(names))}
    home = _home(root)
    for name in _NAMES:
        for path in (home / name, *(folder / name for folder in _label_folders(home))):
            if path.is_file():
                lines = enumerate(lines_in(path))
                return {number: line for number, line in lines if line}
    return {}


def _key_points(root: Path) -> int:
    """Return how many numbers of key points stand behind each box, by `kpt_shape`; 0 where there are none."""
    shape = _told(root, "kpt_shape")
    return math.prod(map(int, shape)) if isinstance(shape, list) and len(shape) == 2 else 0


def _boxes(path: Path, image: Path, names: dict[int, str], points: int) -> list[Box]:
    """Read boxes, or the corners of shapes, as shares of the image's sides."""
    width, height = size_of(image)
    boxes = []
    try:
        for number, line in enumerate(path.read_text().splitlines()):
            if line.strip():
                kind, *values = line.split()
                left, top, right, bottom = _ends([float(value) for value in values], points)
                label = class_of(int(kind), names, f"line {number + 1} of {path}")
                boxes.append(Box(label, left * width, top * height, right * width, bottom * height))
        return boxes
    except (ValueError, OSError) as error:
        raise HardenerError(f"{path} cannot be read: {error}.") from None


def _ends(values: list[float], points: int) -> tuple[float, float, float, float]:
    """Return a line's left, top, right and bottom.

    Args:
        values: of a box four, and one more where it has a confidence; of a shape two a corner.
        points: how many more numbers a box has, of key points.
    Raises:
        ValueError: they are neither.
    """
    if len(values) - (points if len(values) > 5 else 0) in (4, 5):
        x, y, w, h = values[:4]
        return x - w / 2, y - h / 2, x + w / 2, y + h / 2
    if len(values) < 6 or len(values) % 2 or points or not all(-_BEYOND <= value <= 1 + _BEYOND for value in values):
        raise ValueError(
            f"{len(values)} numbers behind a class are neither a box, of 4 or with its confidence 5, nor the corners "
            "of a shape, two numbers from 0 to 1 each. Of key points, write kpt_shape into data.yaml, such as [17, 3]"
        )
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
