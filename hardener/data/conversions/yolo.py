"""YOLO: a text file an image, a box a line, in labels/ or beside it -> what lies in each box, in class folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from hardener.data.brought import SplitName
from hardener.data.conversions._made import Box, Made, cut_out, flat_parts, image_of, names_in
from hardener.data.split_names import split_of
from hardener.errors import HardenerError

_LINE = re.compile(r"\d+(?:\s+[-+.\deE]+){4,}\s*")
_NAMES = ("classes.txt", "obj.names", "labels.txt")


class Yolo:
    """A folder with images/train and labels/train, or train/images and train/labels, or images/ and labels/; or one in
    which each text file lies beside its image."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a folder, or its data.yaml."""
        return any(map(_is_labels, _label_folders(_home(root))))

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made]:
        """Yield what lies in each box; data.yaml or classes.txt names the classes.

        Raises:
            HardenerError: a line or an image cannot be read.
        """
        home = _home(root)
        names = _class_names(root)
        for folder in _label_folders(home):
            parts = folder.relative_to(home).parts
            split: SplitName | None = next((found for part in parts if (found := split_of(part))), None)
            images = home.joinpath(*("images" if part == "labels" else part for part in parts))
            for path in sorted(folder.glob("*.txt")):
                file = image_of(images, path.stem)
                if file is not None and path.stat().st_size:
                    yield from cut_out(file, _boxes(path, file, names), split, path.stem)


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
    for name in names_in(folder):
        if name.endswith(".txt") and name not in _NAMES:
            with (folder / name).open("rb") as file:
                line = file.readline(400).decode("utf-8", "replace")
            if line.strip():
                return _LINE.fullmatch(line) is not None
    return False


def _class_names(root: Path) -> dict[int, str]:
    home = _home(root)
    for path in [root, *sorted(home.glob("*.y*ml"))]:
        if path.suffix.lower() in {".yaml", ".yml"} and path.is_file():
            try:
                found: Any = yaml.safe_load(path.read_text("utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise HardenerError(f"{path} cannot be read: {error}.") from None
            names = found.get("names") if isinstance(found, dict) else None
            if isinstance(names, dict | list):
                return {
                    int(key): str(name)
                    for key, name in (names.items() if isinstance(names, dict) else enumerate(names))
                }
    for name in _NAMES:
        for path in (home / name, *(folder / name for folder in _label_folders(home))):
            if path.is_file():
                return dict(enumerate(line.strip() for line in path.read_text("utf-8").splitlines()))
    return {}


def _boxes(path: Path, image: Path, names: dict[int, str]) -> list[Box]:
    """Read boxes, or the corners of shapes, as shares of the image's sides."""
    try:
        with Image.open(image) as opened:
            width, height = opened.size
        boxes = []
        for line in path.read_text().splitlines():
            if not line.strip():
                continue
            kind, *numbers = line.split()
            values = [float(number) for number in numbers]
            if len(values) == 4:
                x, y, w, h = values
                ends = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
            else:
                ends = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
            label = names.get(int(kind), kind)
            boxes.append(Box(label, ends[0] * width, ends[1] * height, ends[2] * width, ends[3] * height))
        return boxes
    except (ValueError, OSError) as error:
        raise HardenerError(f"{path} and {image} cannot be read: {error}.") from None
