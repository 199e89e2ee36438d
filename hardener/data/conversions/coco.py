"""COCO: a JSON file of images, boxes and categories -> what lies in each box, in class folders."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hardener.data.conversions._cut import Box, cut_out
from hardener.data.conversions._made import Made, Skipped, names_in
from hardener.data.place import Folder
from hardener.data.split_names import first_split, split_of
from hardener.data.tables.finding import Finder
from hardener.errors import HardenerError

_KEYS = (b'"images"', b'"annotations"', b'"categories"', b'"bbox"')


class Coco:
    """A file such as instances_train2017.json, or the folder that holds it."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file or folder."""
        if root.is_dir():
            return bool(_lists(root))
        return root.suffix == ".json" and _has_keys(root)

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield what lies in each box; images are looked for below `images_root`, or beside the list's folder.

        Raises:
            HardenerError: the list cannot be read, or an image is not there.
        """
        for path in _lists(root) if root.is_dir() else [root]:
            folder = path.parent
            base = folder.parent if folder.name.lower().startswith("annotation") else folder
            parts = (path.stem.removeprefix("instances_"), folder.name)
            split = first_split(parts) if root.is_dir() else None
            yield from _cut(path, images_root or base, split)


def _lists(root: Path) -> list[Path]:
    """Return the lists of a folder: annotations/instances_*.json, or train/_annotations.coco.json."""
    found = [root / "annotations" / name for name in names_in(root / "annotations") if name.startswith("instances_")]
    found += [root / name / "_annotations.coco.json" for name in names_in(root, 16)]
    return [path for path in found if path.is_file()]


def _cut(path: Path, base: Path, split: Any) -> Iterator[Made | Skipped]:
    try:
        found = json.loads(path.read_bytes())
        kinds = {item["id"]: str(item["name"]) for item in found["categories"]}
        boxes: dict[Any, list[Box]] = defaultdict(list)
        for item in found["annotations"]:
            if item.get("bbox") and not item.get("iscrowd"):
                left, top, width, height = item["bbox"]
                boxes[item["image_id"]].append(Box(kinds[item["category_id"]], left, top, left + width, top + height))
        names = {item["id"]: str(item["file_name"]) for item in found["images"]}
        frames = {item["id"]: (item.get("width"), item.get("height")) for item in found["images"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HardenerError(f"{path} is no list of COCO's that can be read: {type(error).__name__}: {error}.") from None
    finder = Finder(Folder(base), path.name, ("",), (), split_of(path.stem.removeprefix("instances_")))
    for key, own in boxes.items():
        name = finder.find(names.get(key, ""), None)
        if name is None:
            raise HardenerError(
                f"{path} names {names.get(key, key)}, which is not below {base}. Name the folder of its images: "
                f"hardener convert {shlex.quote(str(path))} DEST --images-root DIR."
            )
        yield from cut_out(base / name, own, split, Path(name).stem, frames[key])


def _has_keys(path: Path) -> bool:
    """Tell whether the file speaks of images, categories and boxes; they may stand at its end."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
        if start.lstrip()[:1] != b"{":
            return False
        rest, kept = [key for key in _KEYS if key not in start], b""
        while rest and (more := file.read(1 << 20)):
            rest = [key for key in rest if key not in kept + more]
            kept = more[-16:]
    return not rest
