"""A list of images beside one of as many classes, line by line: `train_img.csv`, `train_label.csv`."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass

from hardener.data.brought import SplitName
from hardener.data.place import Place
from hardener.data.split_names import own_name, split_in
from hardener.data.tables.content import lines_of
from hardener.data.tree import Tree
from hardener.data.unclear.untaken import is_no_data
from hardener.errors import HardenerError

_ENDINGS = (".csv", ".tsv", ".txt", ".lst")
_DEEPEST, _MANY = 2, 50
_LARGEST = 1 << 27
_NEARLY = 0.9
"""The share of a list's lines that name images."""
_SHORT = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class _List:
    """A file with one word a line: how many it has, how many of these differ, whether they name images, and whether all
    do but for the first."""

    name: str
    lines: int
    values: int
    images: bool
    headed: bool


def refuse_side_by_side(place: Place, tree: Tree) -> None:
    """Say how such lists become a table.

    Raises:
        HardenerError: there are two that belong together.
    """
    lists = _lists(place, tree)
    pairs: dict[SplitName | None, tuple[_List, _List]] = {}
    for one in [own for own in lists if own.images]:
        split = split_in(own_name(one.name))
        folder = one.name.rpartition("/")[0]
        fit = [
            own
            for own in lists
            if (own.name.rpartition("/")[0], own.lines, split_in(own_name(own.name))) == (folder, one.lines, split)
            and not own.images
            and 2 <= own.values <= (own.lines if split in ("validation", "test") else own.lines // 2)
        ]
        if len(fit) == 1:
            pairs.setdefault(split, (one, fit[0]))
    training = pairs.get("train", pairs.get(None))
    if training is None:
        return
    made = {split: _made(place, tree, split, one) for split, (one, _) in pairs.items()}
    commands = "; ".join(_command(place, *pair, made[split]) for split, pair in pairs.items())
    options = {"train": "--data", None: "--data", "validation": "--val", "test": "--test"}
    taken = " ".join(
        f"{options[split]} {shlex.quote(made[split])}"
        for split in ("train" if "train" in pairs else None, "validation", "test")
        if split in made
    )
    raise HardenerError(
        f"{place.root}/{training[0].name} names {training[0].lines} images, and {training[1].name} has as many lines, "
        f"which seem to be their classes. Put them side by side: {commands}. Then pass {taken}."
    )


def _lists(place: Place, tree: Tree) -> list[_List]:
    names = [name for name in tree.others if name.lower().endswith(_ENDINGS) and name.count("/") <= _DEEPEST]
    counts = Counter(name.rpartition("/")[0] for name in names)
    stems = {own_name(name) for name in tree.images} if names else set()
    found = []
    for name in [own for own in names if counts[own.rpartition("/")[0]] <= _MANY and not is_no_data(own)]:
        try:
            lines = [line.strip() for line in lines_of(place.read(name, _LARGEST).decode("utf-8-sig")) if line.strip()]
        except (OSError, UnicodeDecodeError):
            continue
        if not lines or any(re.search(r"[,;\t ]", line) for line in lines):
            continue
        known = [not stems.isdisjoint((line.rpartition("/")[2], own_name(line))) for line in lines]
        headed = not known[0] and len(lines) > 1
        images = sum(known) >= _NEARLY * (len(lines) - headed)
        found.append(_List(name, len(lines), len(set(lines)), images, headed))
    return found


def _made(place: Place, tree: Tree, split: SplitName | None, one: _List) -> str:
    """Return the name of the table to write."""
    folder = one.name.rpartition("/")[0]
    own = f"{_SHORT[split] if split else 'table'}.csv"
    name = f"{folder}/{own}" if folder else own
    return f"{place.root}/{name if name not in tree.others else one.name.rpartition('.')[0] + '-and-label.csv'}"


def _command(place: Place, one: _List, other: _List, made: str) -> str:
    files = " ".join(shlex.quote(f"{place.root}/{own.name}") for own in (one, other))
    rows = f"paste -d, {files}{' | tail -n +2' if one.headed else ''}"
    return f"(echo path,label; {rows}) > {shlex.quote(made)}"
