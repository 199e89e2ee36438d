"""Tables beside the images that they name: train.csv and train/, labels.csv and images/, HuggingFace's metadata.csv."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from hardener.config.reading import Reading, ignoring
from hardener.data.brought import Brought, SplitName
from hardener.data.layouts._flat import is_flat
from hardener.data.place import Place
from hardener.data.split_names import first_split, looks_unlabelled, split_of
from hardener.data.tables.columns import NoColumn, choose
from hardener.data.tables.finding import Finder
from hardener.data.tables.rows import Sheet, bring
from hardener.data.tables.table import ENDINGS, Table, read_table
from hardener.data.tree import OTHER, Tree
from hardener.errors import HardenerError

_OF_FOLDERS = (".csv", ".tsv", ".jsonl")
_METADATA = ("metadata.csv", "metadata.jsonl")
_DEEPEST = 2
_ENOUGH = 0.5


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return the images that tables name; None where there are none, or the images lie in class folders.

    Raises:
        HardenerError: several tables could be meant; a table tells other classes than the folders; see `bring`.
    """
    named = [name for name in tree.others if name.lower().endswith(ENDINGS) and name.count("/") <= _DEEPEST]
    if not named or not tree.images:
        return None
    metadata = [name for name in named if name.rpartition("/")[2].lower() in _METADATA]
    flat = is_flat(tree)
    if not flat and not metadata:
        refuse_other_classes(place, tree, [name for name in named if "/" not in name])
        return None
    told = list(_usable(place, metadata or named, reading))
    if not told or (not flat and len(told) < len(metadata)):
        return None
    sheets = _divided(told, place)
    found = bring(sheets, place, reading, tree.images)
    spare = [fact for fact in tree.facts() if fact.reason != OTHER]
    return Brought(found.splits, found.classes, found.notes, found.doubts, (*found.left_out, *spare))


def _usable(place: Place, names: list[str], reading: Reading) -> Iterator[tuple[str, Table]]:
    """Yield the tables that name images of the place, and their classes."""
    for name in names:
        own = name.rpartition("/")[2].rpartition(".")[0]
        if looks_unlabelled(own):
            continue
        try:
            table = read_table(f"{place.root}/{name}", place.read(name))
            columns = choose(table, reading)
        except NoColumn:
            continue
        except HardenerError:
            if name.lower().endswith((".json", ".txt")):
                continue
            raise
        finder = Finder(place, _folders(name), reading.ignore, split_of(own))
        step = max(1, len(table) // 100)
        some = columns.paths[::step]
        if sum(finder.find(path, None) is not None for path in some) >= _ENOUGH * len(some):
            yield name, table


def _folders(name: str) -> tuple[str, ...]:
    """Return the folders that a table's paths may count from: its own, and the root."""
    own = name.rpartition("/")[0]
    return (own, "") if own else ("",)


def _divided(told: list[tuple[str, Table]], place: Place) -> list[Sheet]:
    """Return the tables, each with its split where there are several."""
    if len(told) == 1:
        name, table = told[0]
        return [Sheet(table, _folders(name))]
    splits: dict[SplitName | None, list[str]] = {}
    for name, _ in told:
        stem = name.rpartition(".")[0]
        split = first_split(reversed(stem.split("/")))
        splits.setdefault(split, []).append(name)
    if None in splits or any(len(names) > 1 for names in splits.values()):
        names = [name for name, _ in told]
        kept = {own[0] for split, own in splits.items() if split} if "train" in splits else {names[0]}
        raise HardenerError(
            f"{place.root} has several tables that name its images: {', '.join(names[:5])}. Pass one, "
            f"--data {shlex.quote(f'{place.root}/{names[0]}')}, or leave some out: "
            f"{ignoring(name for name in names if name not in kept)}."
        )
    tables = dict(told)
    return [Sheet(tables[name], _folders(name), split) for split, (name,) in splits.items()]


def refuse_other_classes(place: Place, tree: Tree, names: list[str]) -> None:
    """See that a table beside class folders tells the same classes as they do.

    Raises:
        HardenerError: it tells others of most images, and only the user knows which are meant.
    """
    for name in names:
        if not name.lower().endswith(_OF_FOLDERS):
            continue
        try:
            table = read_table(f"{place.root}/{name}", place.read(name))
            columns = choose(table, Reading())
        except (HardenerError, OSError):
            continue
        finder = Finder(place, ("",), ())
        found = [(finder.find(path, None), label) for path, label in zip(columns.paths, columns.labels, strict=True)]
        pairs = {(own.rpartition("/")[0].rpartition("/")[2], label) for own, label in found if own and label}
        count = sum(1 for own, _ in found if own)
        folders, labels = {folder for folder, _ in pairs}, {label for _, label in pairs}
        if count < 0.9 * len(tree.images) or len(pairs) == len(folders) == len(labels):
            continue
        way = shlex.quote(f"{place.root}/{name}")
        raise HardenerError(
            f"{place.root}/{name} tells other classes of the images than their folders do: {len(labels)} "
            f"({_first(labels)}) in {len(folders)} folders ({_first(folders)}). "
            f"Take the table's by --data {way}, or the folders by {ignoring([name])}."
        )


def _first(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
