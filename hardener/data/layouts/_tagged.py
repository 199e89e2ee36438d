"""One XML file in which images have tags, as CVAT writes it: `<image name="1.jpg"><tag label="cat"/></image>`."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from hardener.data.place import Place
from hardener.data.tables.content import Table
from hardener.data.tree import Tree

_DEEPEST, _MANY = 1, 5
_PEEKED, _LARGEST = 1 << 12, 1 << 28


def tagged_images(place: Place, tree: Tree) -> Iterator[tuple[str, Table]]:
    """Yield the names of such files, each with its images and their tags as a table; of several tags none is taken."""
    names = [name for name in tree.others if name.lower().endswith(".xml") and name.count("/") <= _DEEPEST]
    for name in names if len(names) <= _MANY else []:
        try:
            start = place.read(name, _PEEKED)
            data = place.read(name, _LARGEST) if b"<annotations" in start else b""
            if not data or b"<!DOCTYPE" in data or b"<!ENTITY" in data:
                continue
            images = list(ElementTree.fromstring(data).iter("image"))  # noqa: S314 - it defines no entities
        except (OSError, ElementTree.ParseError):
            continue
        found = [(image, [tag.get("label", "") for tag in image.iter("tag")]) for image in images]
        if not any(tags for _, tags in found):
            continue
        columns = {
            "path": [image.get("name", "") for image, _ in found],
            "label": [tags[0] if len(tags) == 1 else "" for _, tags in found],
        }
        splits = [image.get("subset", "") for image, _ in found]
        yield name, Table(f"{place.root}/{name}", columns | ({"split": splits} if any(splits) else {}))
