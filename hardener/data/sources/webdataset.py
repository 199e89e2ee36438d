"""WebDataset shards: tar files whose members come in groups, 000.jpg with 000.cls or 000.json."""

from __future__ import annotations

import json
import re
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
from hardener.data.shards import Inside, ShardStore, shards, split_sheets
from hardener.data.sources.archive import Later, Packed
from hardener.data.tables.rows import bring
from hardener.data.tables.table import Table, as_text
from hardener.errors import HardenerError

_ENDINGS = (".tar", ".tar.gz", ".tgz")
_CLASS = ("cls", "label", "cls.txt", "label.txt", "index", "txt")  # text may tell the class, where nothing else does
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
        store = _Shards({name: Later(base / name) for name in names})

        def look() -> tuple[Brought, Seen]:
            told = _class_names(base)
            tables = {name: _table(f"{base}/{name}", name, Packed(base / name), told) for name in names}
            paths = [path for table in tables.values() for path in table.columns[_PATH]]
            asked = reading.model_copy(update={"path_column": _PATH})
            brought = bring(split_sheets(tables), Inside(base, paths, store), asked)
            notes = tuple(dict.fromkeys(note.partition(": ")[2] for note in brought.notes))
            return replace(brought, notes=notes), Seen(base, files=[*names, *_NAMES])

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
    return bool(whole) and 2 * sum(bool(parts.keys() & {*_CLASS, "json"}) for parts in whole) > len(whole)


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
    return next((parts[ending] for ending in parts if f".{ending.rpartition('.')[2]}" in EXTENSIONS), None)


def _table(shown: str, shard: str, archive: Packed, told: list[str]) -> Table:
    """Return the images of a shard, with what their other members say.

    Raises:
        HardenerError: no image has a class.
    """
    rows: list[dict[str, str]] = []
    for parts in _groups(archive.all_names()).values():
        image = _image(parts)
        if image is None:
            continue
        row = {_PATH: f"{shard}/{image}"}
        plain = next((parts[ending] for ending in _CLASS if ending in parts), None)
        if plain is not None:
            row["cls"] = archive.read(plain, 4096).decode("utf-8", "replace").strip()
        elif "json" in parts:
            row |= _of_json(f"{shown}/{parts['json']}", archive.read(parts["json"]))
        rows.append(row)
    if not rows:
        raise HardenerError(f"{shown} holds no images with members such as 000.jpg and 000.cls.")
    header = list(dict.fromkeys(key for row in rows for key in row))
    columns = {key: [row.get(key, "") for row in rows] for key in header}
    if "cls" in columns and told and all(cell.isdecimal() and int(cell) < len(told) for cell in columns["cls"]):
        columns["cls"] = [told[int(cell)] for cell in columns["cls"]]
    return Table(shown, columns)


def _of_json(shown: str, data: bytes) -> dict[str, str]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise HardenerError(f"{shown} is no JSON that can be read.") from None
    if not isinstance(found, dict):
        return {"cls": as_text(found)}
    return {str(key): as_text(value) for key, value in found.items() if not isinstance(value, dict)}


def _class_names(folder: Path) -> list[str]:
    """Return the names that numbers stand for, where a file beside the shards has them."""
    for name in _NAMES:
        if (folder / name).is_file():
            return [line.strip() for line in (folder / name).read_text("utf-8").splitlines() if line.strip()]
    return []
