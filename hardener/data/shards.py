"""Files that hold many images each: where they lie, which split each is of, and the images in them as a place."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from hardener.data.brought import Group, SplitName
from hardener.data.image_files import Files, Store
from hardener.data.place import LARGEST
from hardener.data.split_names import first_split, looks_unlabelled
from hardener.data.tables.content import Table
from hardener.data.tables.rows import Sheet
from hardener.data.tree import Tree, is_passed_over
from hardener.errors import HardenerError

_MANY = 64  # entries of a folder: one with more, of which none is a shard, holds images
_FOLDERS = 32
_DEEPEST = 2


class Inside:
    """Images in shards, as a place: each lies under the shard's name and its own."""

    def __init__(self, root: Path, paths: Iterable[str], store: Store) -> None:
        self._root, self._store = root, store
        names: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            folder, _, name = path.rpartition("/")
            names[folder].add(name)
        self._names = {folder: frozenset(found) for folder, found in names.items()}

    @property
    def root(self) -> Path:
        """See `Place`."""
        return self._root

    def files_in(self, folder: str) -> frozenset[str]:
        """See `Place`."""
        return self._names.get(folder, frozenset())

    def read(self, name: str, most: int = LARGEST) -> bytes:
        """See `Place`."""
        return self._store.read(self._root, name)[:most]

    def tree(self, ignore: Sequence[str]) -> Tree:
        """See `Place`; what is not found under its name lies nowhere else."""
        return Tree()

    def group(self, base: str, paths: Sequence[str], names: Sequence[str], *, source: str = "") -> Group:
        """See `Place`."""
        return Group(self._root / base, tuple(paths), tuple(names), self._store, source=source)


class ShardStore:
    """Bytes of images in shards. A source says how one is read, in `image`."""

    def read(self, root: Path, path: str) -> bytes:
        """Return an image's bytes."""
        return self.image(*self.divided(path))

    def stamps(self, root: Path, paths: Iterable[str]) -> bytes:
        """Return size and times of the shards."""
        return Files().stamps(root, dict.fromkeys(self.divided(path)[0] for path in paths))

    def divided(self, path: str) -> tuple[str, str]:
        """Return the shard's name and the image's in it."""
        shard, _, name = path.rpartition("/")
        return shard, name

    def image(self, shard: str, name: str) -> bytes:
        """Return the bytes of an image in a shard.

        Raises:
            OSError: it cannot be read.
        """
        raise NotImplementedError


def shards(root: Path, endings: Sequence[str]) -> list[str]:
    """Return the shards in a folder, and one or two folders below; quick where images lie there instead."""
    return sorted(_below(root, "", tuple(endings), _DEEPEST)) if root.is_dir() else []


def split_of_shard(name: str) -> SplitName | None:
    """Return the split that a shard's name tells, or its folders: train-00000-of-00002.parquet, test/0000.parquet."""
    return first_split(_parts(name))


def _parts(name: str) -> list[str]:
    folder, _, own = name.rpartition("/")
    stem = own.partition(".")[0]
    return [stem, *re.split(r"[-_\d]+", stem), *reversed(folder.split("/") if folder else [])]


def shards_to_read(root: Path, names: Sequence[str], ignore: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the shards that are read, and what to say of the others; a file that is named itself is read.

    Args:
        ignore: the user's patterns; a shard is passed over by its own name, or by that of a folder above it.
    Raises:
        HardenerError: all are passed over; or some tell their split by their names, and others do not.
    """
    if not root.is_dir():
        return list(names), ()
    kept = [name for name in names if not any(is_passed_over(way, ignore) for way in _ways(name))]
    if not kept:
        raise HardenerError(f"{root} has {len(names)} files of images, and --ignore passes over all of them.")
    told = [name for name in kept if split_of_shard(name)]
    if not told:
        return kept, ()
    unlabelled = [name for name in kept if name not in told and any(map(looks_unlabelled, _parts(name)))]
    others = [name for name in kept if name not in told and name not in unlabelled]
    if others:
        example = others[0].rpartition("/")[2]
        way = " ".join(f"--ignore {shlex.quote(pattern)}" for pattern in _patterns(others, told)[:5])
        raise HardenerError(
            f"{root} has files of splits ({_some(told)}) beside others ({_some(others)}). Name those after the split "
            f"that they belong to, such as train-{example}; or pass {way} to leave them out."
        )
    said = (f"{_some(unlabelled)}: the name says that its images have no class, so it is left out",)
    return told, said if unlabelled else ()


def split_sheets(tables: Mapping[str, Table]) -> list[Sheet]:
    """Return the tables of shards with their splits; where none is of train, or all are, they are read as one."""
    told = {name: split_of_shard(name) for name in tables}
    splits = set(told.values())
    divided = "train" in splits and len(splits) > 1
    return [Sheet(table, split=told[name] if divided else None) for name, table in tables.items()]


def _ways(name: str) -> list[str]:
    """Return a shard's name and those of the folders that it lies in."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _patterns(others: Sequence[str], told: Sequence[str]) -> list[str]:
    """Return patterns that some shards' names match and no others do: all numbers of extra-00000-of-00004.parquet."""
    found: dict[str, None] = {}
    for name in others:
        pattern = re.sub(r"\d+", "*", glob.escape(name.rpartition("/")[2]))
        folders = [way for way in _ways(name)[:-1] if not any(other.startswith(f"{way}/") for other in told)]
        taken = any(is_passed_over(other, [pattern]) for other in told)
        found[(folders[0] if folders else glob.escape(name)) if taken else pattern] = None
    return list(found)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _below(root: Path, folder: str, endings: tuple[str, ...], deeper: int) -> Iterator[str]:
    try:
        with os.scandir(root / folder) as listed:
            entries = list(islice(listed, _MANY))
            if len(entries) == _MANY and any(entry.name.lower().endswith(endings) for entry in entries):
                entries += list(listed)
    except OSError:
        return
    folders = 0
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith("."):
            continue
        if entry.name.lower().endswith(endings) and os.path.isfile(entry.path):
            yield name
        elif deeper and folders < _FOLDERS and os.path.isdir(entry.path):  # a link round in circles is none
            folders += 1
            yield from _below(root, name, endings, deeper - 1)
