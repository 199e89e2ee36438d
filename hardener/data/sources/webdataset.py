"""WebDataset shards: tar files whose members come in groups, 000.jpg with 000.cls or 000.json."""

from __future__ import annotations

import json
import re
import shlex
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.file_kind import EXTENSIONS
from hardener.data.index import Seen, indexed
from hardener.data.shards import Inside, ShardStore, shards, shards_to_read, split_sheets
from hardener.data.sources.archive import Later, Packed
from hardener.data.tables.content import Table, as_text
from hardener.data.tables.rows import bring
from hardener.data.tables.table import lines_in
from hardener.errors import HardenerError

_ENDINGS = (".tar", ".tar.gz", ".tgz")
_CLASS = ("cls", "label", "cls.txt", "label.txt", "index")
_TEXT = "txt"  # it may tell the class, where nothing else does
_PEEKED = 24
_PATH = "image in the tar file"
_SHARD = re.compile(r"(.*?\.(?:tar|tar\.gz|tgz))/", re.I)
_NAMES = ("classnames.txt", "classes.txt", "class_names.txt", "labels.txt")


class WebDataset:
    """One tar file, or a folder of them, such as train-000000.tar."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file or folder, by the first members of the first tar file."""
        if root.is_file():
            return root.name.lower().endswith(_ENDINGS) and _is_shard(root)
        found = shards(root, _ENDINGS)
        return bool(found) and _is_shard(root / found[0])

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each split.

        Raises:
            HardenerError: a tar file is damaged; images have no class; else see `bring`.
        """
        base, names = (root.parent, [root.name]) if root.is_file() else (root, shards(root, _ENDINGS))
        names, said = shards_to_read(root, names, reading.ignore)
        store = _Shards({name: Later(base / name) for name in names})

        def look() -> tuple[Brought, Seen]:
            tables = {name: _table(f"{base}/{name}", name, Packed(base / name), reading) for name in names}
            order, unused = _name_classes(tables, base)
            paths = [path for table in tables.values() for path in table.columns[_PATH]]
            asked = reading.model_copy(update={"path_column": _PATH})
            brought = bring(split_sheets(tables), Inside(base, paths, store), asked)
            notes = tuple(dict.fromkeys(note.partition(": ")[2] for note in brought.notes))
            known = brought.classes or ()
            order = tuple(name for name in dict.fromkeys(order) if name in known)
            classes = order if len(order) == len(known) else known
            brought = replace(brought, notes=notes, doubts=(*brought.doubts, *said, *unused), classes=classes)
            return brought, Seen(base, files=[*names, *_NAMES])

        return indexed(base, "\n".join(["webdataset", *names]), reading, look, store=lambda below: store)


class _Shards(ShardStore):
    def __init__(self, packed: dict[str, Later]) -> None:
        self._packed = packed

    def divided(self, path: str) -> tuple[str, str]:
        """Return the shard's name and the member's, which may have folders of its own."""
        found = _SHARD.match(path)
        assert found is not None, "all paths begin with a shard"
        return found[1], path[found.end() :]

    def image(self, shard: str, name: str) -> bytes:
        return self._packed[shard].read(name)


def _is_shard(path: Path) -> bool:
    """Tell whether a tar file's first members are groups of an image and what belongs to it."""
    try:
        with tarfile.open(path, "r|*") as archive:
            names = [member.name for member in islice((m for m in archive if m.isreg()), _PEEKED)]
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return False
    groups = _groups(names)
    whole = [parts for parts in groups.values() if _image(parts)]
    return bool(whole) and 2 * sum(bool(parts.keys() & {*_CLASS, _TEXT, "json"}) for parts in whole) > len(whole)


def _groups(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return each key with its members by what follows the first point of their names."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        folder, _, own = name.rpartition("/")
        stem, point, ending = own.partition(".")
        if point and stem:
            found.setdefault(f"{folder}/{stem}" if folder else stem, {})[ending.lower()] = name
    return found


def _image(parts: dict[str, str]) -> str | None:
    """Return the member that is the image: 000.jpg before 000.depth.png, which tells more of it."""
    found = _images(parts)
    return parts[min(found, key=lambda ending: "." in ending)] if found else None


def _images(parts: dict[str, str]) -> list[str]:
    return [ending for ending in parts if f".{ending.rpartition('.')[2]}" in EXTENSIONS]


def _chosen(shown: str, parts: dict[str, str], asked: str | None) -> str | None:
    """Return the image of a group, by the ending that the user names where it has several.

    Raises:
        HardenerError: it has several, and none is the plain one.
    """
    if asked is not None:
        return parts.get(asked.lower().lstrip("."))
    found = _images(parts)
    if len(found) > 1 and all("." in ending for ending in found):
        raise HardenerError(
            f"{shown} has several images of one key: {', '.join(parts[ending] for ending in found)}. Name the ending "
            f"of those to read: --path-column {shlex.quote(found[0])}."
        )
    return _image(parts)


def _table(shown: str, shard: str, archive: Packed, reading: Reading) -> Table:
    """Return the images of a shard, with what their other members say.

    Raises:
        HardenerError: it has no image, or several of one key.
    """
    rows: list[dict[str, str]] = []
    for parts in _groups(archive.all_names()).values():
        image = _chosen(shown, parts, reading.path_column)
        if image is not None:
            rows.append({_PATH: f"{shard}/{image}", **_told(shown, parts, archive, reading)})
    if not rows:
        raise HardenerError(f"{shown} holds no images with members such as 000.jpg and 000.cls.")
    header = list(dict.fromkeys(key for row in rows for key in row))
    return Table(shown, {key: [row.get(key, "") for row in rows] for key in header})


def _told(shown: str, parts: dict[str, str], archive: Packed, reading: Reading) -> dict[str, str]:
    """Return what the members beside an image say: its class; else what a JSON has, or a text."""
    plain = next((parts[ending] for ending in _CLASS if ending in parts), None)
    found = {} if plain is None else {"cls": _text(archive, plain)}
    asked = reading.label_column is not None or reading.split_column is not None
    if "json" in parts and (asked or not found):
        found = {**_of_json(f"{shown}/{parts['json']}", archive.read(parts["json"])), **found}
    if _TEXT in parts and (asked or not found or plain is None):
        found["txt" if found else "cls"] = _text(archive, parts[_TEXT])
    return found


def _text(archive: Packed, name: str) -> str:
    return archive.read(name, 4096).decode("utf-8", "replace").strip()


def _name_classes(tables: dict[str, Table], folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put names in place of the numbers of all shards, where a file beside them has the names.

    Returns:
        The names in order, none where they were not used; and what to say of that.
    """
    file, told = _class_names(folder)
    columns = [table.columns["cls"] for table in tables.values() if "cls" in table.columns]
    cells = {cell for column in columns for cell in column if cell}
    if not told or not cells or not all(cell.isdecimal() for cell in cells):
        return (), ()
    largest = max(map(int, cells))
    if largest >= len(told):
        said = f"{folder / file} names {len(told)} classes, and there is the label {largest}: it was not used"
        return (), (said,)
    for column in columns:
        column[:] = [told[int(cell)] if cell else "" for cell in column]
    return tuple(told), ()


def _of_json(shown: str, data: bytes) -> dict[str, str]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise HardenerError(f"{shown} is no JSON that can be read.") from None
    if not isinstance(found, dict):
        return {"cls": as_text(found)}
    return {str(key): as_text(value) for key, value in found.items() if not isinstance(value, dict)}


def _class_names(folder: Path) -> tuple[str, list[str]]:
    """Return the file beside the shards that names what numbers stand for, and the names."""
    for name in _NAMES:
        if (folder / name).is_file():
            return name, [line for line in lines_in(folder / name) if line]
    return "", []
