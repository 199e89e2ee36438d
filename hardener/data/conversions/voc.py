"""Pascal VOC: an XML file an image, with boxes -> what lies in each box, in class folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from hardener.data.brought import SplitName
from hardener.data.conversions._cut import Box, cut_out
from hardener.data.conversions._made import Made, Skipped, flat_parts, image_of, names_in
from hardener.data.split_names import first_split, split_of
from hardener.data.tables.table import lines_in
from hardener.errors import HardenerError

_TOLD, _SHOWN = re.compile("annotations?", re.IGNORECASE), re.compile("images?|imgs?|jpegimages", re.IGNORECASE)


class Voc:
    """A folder with Annotations/ and JPEGImages/, such as VOCdevkit/VOC2012, or one that holds it; or one in which each
    XML file lies beside its image, as LabelImg writes them."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a folder."""
        return root.is_dir() and bool(_parts(root))

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield what lies in each box. ImageSets/Main tells the splits, or the folder that the file lies in.

        Raises:
            HardenerError: an XML file or an image cannot be read.
        """
        for told, shown in _parts(root):
            splits = _splits(told.parent)
            parts = told.relative_to(root).parts
            own = first_split(parts)
            images = images_root or shown
            for path in sorted(told.glob("*.xml")):
                if splits and path.stem not in splits:
                    yield Skipped("files of boxes that no list in ImageSets/Main names", path.name)
                    continue
                name, frame, boxes = _boxes(path)
                file = images / Path(name).name
                if boxes:
                    found = file if file.is_file() else image_of(images, path.stem) or images / f"{path.stem}.jpg"
                    yield from cut_out(found, boxes, splits.get(path.stem, own), path.stem, frame)


def _parts(root: Path) -> list[tuple[Path, Path]]:
    """Return folders of XML files, each with the folder of the images that they tell of."""
    found = []
    for home in [root, *(root / name for name in names_in(root, 16)), *sorted(root.glob("VOCdevkit/VOC20??"))]:
        names = names_in(home)
        told = [home / name for name in names if _TOLD.fullmatch(name) and _first(home / name) is not None]
        shown = [home / name for name in names if _SHOWN.fullmatch(name)]
        if told and shown and not any(_in_folders(folder, told[0]) for folder in shown):
            found.append((told[0], max(shown, key=lambda folder: folder.name == "JPEGImages")))
    if found:
        return found
    beside = [(folder, _first(folder)) for folder in flat_parts(root)]
    return [(folder, folder) for folder, first in beside if first is not None and image_of(folder, first.stem)]


def _in_folders(shown: Path, told: Path) -> bool:
    """Tell whether images lie in folders of their own, which tell their classes: `images/crazing/crazing_1.jpg`."""
    first = _first(told)
    if first is None or image_of(shown, first.stem) is not None:
        return False
    return any(image_of(shown / name, first.stem) is not None for name in names_in(shown, 2000))


def _first(folder: Path) -> Path | None:
    """Return the first XML file in a folder, where it is such an annotation."""
    path = next((folder / name for name in names_in(folder, 2000) if name.lower().endswith(".xml")), None)
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return path if b"<annotation" in file.read(2000) else None


def _boxes(path: Path) -> tuple[str, tuple[int, int], list[Box]]:
    """Return the name of the image that a file tells of, its width and height (0 where they are not told), and the
    boxes on it."""
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise HardenerError(f"{path} defines entities, which are never read. Take them out.")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - it defines no entities
        boxes = []
        for item in root.iter("object"):
            ends = [float(item.findtext(f"bndbox/{end}") or "") for end in ("xmin", "ymin", "xmax", "ymax")]
            boxes.append(Box(str(item.findtext("name")).strip(), *ends))
        width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
        return root.findtext("filename") or "", (width, height), boxes
    except (ElementTree.ParseError, ValueError) as error:
        raise HardenerError(f"{path} is no annotation of Pascal VOC's that can be read: {error}.") from None


def _splits(home: Path) -> dict[str, SplitName | None]:
    found: dict[str, SplitName | None] = {}
    for name in ("trainval", "test", "val", "train"):
        path = home / "ImageSets" / "Main" / f"{name}.txt"
        if path.is_file():
            found |= {line.split()[0]: split_of(name) for line in lines_in(path) if line}
    return found
