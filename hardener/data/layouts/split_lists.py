"""Class folders, and lists beside them that name the images of each split: Food-101's meta/train.txt, CUB's table,
DTD's ten sets of lists, EuroSAT's CSV files."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from hardener.config.data_findings import left_out
from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.file_kind import EXTENSIONS
from hardener.data.layout import read_layout
from hardener.data.layouts._flat import is_flat
from hardener.data.place import Place
from hardener.data.split_names import split_of
from hardener.data.tables.table import looks_like_image, read_table
from hardener.data.tree import OTHER, Tree
from hardener.errors import HardenerError

_NAMES, _FLAGS = "images.txt", "train_test_split.txt"
_ENDINGS = (".txt", ".csv")
_NUMBERED = re.compile(r"(.*\D)(\d{1,2})", re.S)
_ENOUGH = 0.98
_DEEPEST = 2

Told = dict[str, SplitName]


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return the images of each split; None where no such lists lie beside class folders that are not divided.

    Raises:
        HardenerError: see `read_layout`.
    """
    lists, note = _lists(tree)
    if not lists or is_flat(tree):
        return None
    layout = read_layout(tree, str(place.root), reading)
    if set(layout.members) != {None}:
        return None
    base = layout.base[None]
    label = {f"{base}/{name}" if base else name: label for name, label in layout.members[None]}
    told = _told(place, lists, label)
    if told is None or "train" not in told.values() or len(set(told.values())) < 2:
        return None
    by = ", ".join(lists)
    groups: dict[SplitName | None, Group] = {}
    order: tuple[SplitName, ...] = ("train", "validation", "test")
    for split in order:
        own = [name for name in label if told.get(name) == split]
        if own:
            groups[split] = place.group("", own, [label[name] for name in own], source=_source(lists, split))
    notes = (*layout.notes, f"the splits were read from {by}{note}")
    spare = [fact for fact in tree.facts() if fact.reason != OTHER]
    others = left_out(OTHER, [name for name in tree.others if name not in lists])
    unnamed = left_out("images that no list of a split names", [name for name in label if name not in told])
    spare += [fact for fact in (others, unnamed) if fact is not None]
    return Brought(groups, notes=notes, doubts=tuple(layout.doubts), left_out=tuple(spare))


def _source(lists: Mapping[str, SplitName | None], split: SplitName) -> str:
    return ", ".join(name for name, own in lists.items() if own in (split, None))


def _lists(tree: Tree) -> tuple[dict[str, SplitName | None], str]:
    """Return the files that may be lists, each with its split, of CUB's two with none; and what is to be said of them.

    Of numbered ones, such as DTD's ten `train1.txt`, those of the first number are taken.
    """
    texts = [name for name in tree.others if name.lower().endswith(_ENDINGS) and name.count("/") <= _DEEPEST]
    own = {name.rpartition("/")[2]: name for name in texts}
    if _NAMES in own and _FLAGS in own:
        return {own[_NAMES]: None, own[_FLAGS]: None}, ""
    numbered: dict[int, dict[str, SplitName | None]] = defaultdict(dict)
    for name in texts:
        split, number = _split_and_number(name.rpartition("/")[2].rpartition(".")[0])
        if split is not None:
            numbered[number][name] = split
    for number, found in sorted(numbered.items()):
        splits = list(found.values())
        if "train" in splits and len(set(splits)) == len(splits) > 1:
            more = (
                f", the first of {len(numbered)} such sets; --ignore '*{number}.txt' takes the next" if number else ""
            )
            return found, more if len(numbered) > 1 else ""
    return {}, ""


def _split_and_number(stem: str) -> tuple[SplitName | None, int]:
    found = None if split_of(stem) else _NUMBERED.fullmatch(stem)
    return (split_of(stem), 0) if found is None else (split_of(found[1]), int(found[2]))


def _told(place: Place, lists: Mapping[str, SplitName | None], label: Iterable[str]) -> Told | None:
    """Return the split of each image that the lists name; None where they name others, or one twice."""
    if None in lists.values():
        names, flags = (_pairs(place, name) for name in lists)
        named = [(names[number], flag) for number, flag in flags.items() if number in names]
        rows: list[tuple[str, SplitName | None]] = [(name, "train" if flag == "1" else "test") for name, flag in named]
    else:
        rows = [(line, split) for name, split in lists.items() for line in _named(place, name)]
    find = _finder(label)
    found = [(name, split) for line, split in rows if (name := find(line)) is not None]
    told: Told = {name: split for name, split in found if split is not None}
    return told if rows and len(told) == len(found) >= _ENOUGH * len(rows) else None


def _lines(place: Place, name: str) -> list[str]:
    return [line.strip() for line in place.read(name).decode("utf-8", "replace").splitlines() if line.strip()]


def _named(place: Place, name: str) -> list[str]:
    """Return the images that a list names: its lines, or a table's column of paths."""
    if name.lower().endswith(".txt"):
        return _lines(place, name)
    with contextlib.suppress(HardenerError):  # a table of something else
        columns = read_table(name, place.read(name)).columns.values()
        return next((cells for cells in columns if all(map(looks_like_image, cells))), [])
    return []


def _pairs(place: Place, name: str) -> dict[str, str]:
    cells = [line.split(maxsplit=1) for line in _lines(place, name)]
    return {row[0]: row[1] for row in cells if len(row) == 2}


def _finder(images: Iterable[str]) -> Callable[[str], str | None]:
    """Return what finds the one image that a line names: by its own name and folder, with an extension or without."""
    by_end: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_end[_end(image)].append(image)

    def find(line: str) -> str | None:
        for way in (line, line.rpartition(" ")[0]):  # the class may stand behind it
            found = by_end.get(_end(way), [])
            if way and len(found) == 1:
                return found[0]
        return None

    return find


def _end(name: str) -> str:
    folder, _, own = name.replace("\\", "/").rpartition("/")
    stem, dot, ending = own.rpartition(".")
    known = dot and f".{ending.lower()}" in EXTENSIONS
    return f"{folder.rpartition('/')[2]}/{stem if known else own}"
