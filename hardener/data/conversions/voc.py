"""Pascal VOC: an XML file an image, with boxes -> what lies in each box, in class folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from hardener.data.brought import SplitName
from hardener.data.conversions._made import Box, Made, cut_out, names_in
from hardener.data.split_names import split_of
from hardener.errors import HardenerError


class Voc:
    """A folder with Annotations/ and JPEGImages/, such as VOCdevkit/VOC2012, or one that holds it."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a folder."""
        return _home(root) is not None

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made]:
        """Yield what lies in each box. ImageSets/Main tells the splits, where it is there.

        Raises:
            HardenerError: an XML file or an image cannot be read.
        """
        home = _home(root)
        assert home is not None, "it was recognised"
        splits = _splits(home)
        images = images_root or home / "JPEGImages"
        for path in sorted((home / "Annotations").glob("*.xml")):
            name, boxes = _boxes(path)
            split = splits.get(path.stem)
            if splits and split is None:
                continue
            file = images / Path(name).name
            if boxes:
                yield from cut_out(file if file.exists() else images / f"{path.stem}.jpg", boxes, split, path.stem)


def _home(root: Path) -> Path | None:
    ways = [root, *(root / name for name in names_in(root, 16)), *(root.glob("VOCdevkit/VOC20??"))]
    return next((way for way in ways if _is_home(way)), None) if root.is_dir() else None


def _is_home(folder: Path) -> bool:
    return (folder / "JPEGImages").is_dir() and any(n.endswith(".xml") for n in names_in(folder / "Annotations"))


def _boxes(path: Path) -> tuple[str, list[Box]]:
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise HardenerError(f"{path} defines entities, which are never read. Take them out.")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - it defines no entities
        boxes = []
        for item in root.iter("object"):
            ends = [float(item.findtext(f"bndbox/{end}") or "") for end in ("xmin", "ymin", "xmax", "ymax")]
            boxes.append(Box(str(item.findtext("name")).strip(), *ends))
        return root.findtext("filename") or "", boxes
    except (ElementTree.ParseError, ValueError) as error:
        raise HardenerError(f"{path} is no annotation of Pascal VOC's that can be read: {error}.") from None


def _splits(home: Path) -> dict[str, SplitName | None]:
    found: dict[str, SplitName | None] = {}
    for name in ("test", "val", "train"):
        path = home / "ImageSets" / "Main" / f"{name}.txt"
        if path.is_file():
            found |= {line.split()[0]: split_of(name) for line in path.read_text().splitlines() if line.strip()}
    return found
