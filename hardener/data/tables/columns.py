"""Which columns of a table hold the paths of images, their classes and their splits: told by the user, or guessed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hardener.config.reading import Reading, ignoring
from hardener.data.brought import SplitName
from hardener.data.tables.candidates import counted, may_hold_classes, measures, most_likely, repeats_itself
from hardener.data.tables.content import Table, looks_like_image
from hardener.data.tables.divisions import flags_of, is_binary, is_yes, ones, splits_of, tells_division
from hardener.data.tables.names import (
    LABELS,
    PATHS,
    NoColumn,
    by_name,
    called,
    inner_key,
    key_of,
    list_of,
    named,
    some_of,
)
from hardener.data.tree import is_named
from hardener.data.unclear.answers import asks_people, others_of
from hardener.errors import HardenerError

_UNKNOWN = {"nan", "n/a", "#n/a", "null", "<na>"}
"""What programs write where a class is not known."""
_PARTS = 3  # splits that a column may tell
_FEWEST = 20  # rows of which some would share a class
_BETWEEN = re.compile(r"\s*[|;,+&]\s*|\s+")
_URL = re.compile(r"(?:https?|ftp|data):", re.I)


@dataclass(frozen=True)
class Columns:
    """What is read of a table, a text each row.

    Attributes:
        splits: None where the table is not divided; an empty text for a row of no known split.
        notes, doubts: how it was read, and what the user must look at.
    """

    paths: list[str]
    labels: list[str]
    splits: list[SplitName | None] | None
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def choose(table: Table, reading: Reading) -> Columns:
    """Find the columns.

    Raises:
        HardenerError: a column that the user named is not there; paths are URLs; an image has several classes.
        NoColumn: none is known to hold paths or classes.
    """
    path = choose_path(table, reading)
    doubts = _torn(table)
    splits, used, how = splits_of(table, reading, path, doubts)
    divided = {name for name in table.columns if name != reading.label_column and tells_division(table, name, path)}
    labels, label = _labels(table, reading, path, {*used, *flags_of(table, reading, path), *divided})
    doubts += _unread(table, path, labels) if splits is None else []
    doubts += _several(table.name, [label for label in labels if not is_named(label, reading.ignore)])
    told = [f"paths from column {path!r}", f"classes from {label}"]
    told += ["no column of splits" if splits is None else f"splits from {called(used)}{how}"]
    return Columns(table.columns[path], labels, splits, (f"{table.name}: {', '.join(told)}",), tuple(doubts))


def choose_splits(table: Table, reading: Reading) -> tuple[list[str], list[SplitName | None]] | None:
    """Return the path and the split of each row; None where no column tells splits. Classes may be told elsewhere.

    Raises:
        HardenerError: see `choose`.
    """
    path = choose_path(table, reading)
    splits, _, _ = splits_of(table, reading, path, [])
    return None if splits is None else (table.columns[path], splits)


def names_columns(lines: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first of some lines is a header with a column known to hold paths, and one of classes."""
    keys = {key_of(cell) for cell in next(iter(lines), ())}
    return not keys.isdisjoint(PATHS) and not keys.isdisjoint(LABELS) and len(keys) > 1


def tells_classes(name: str) -> bool:
    """Tell whether a column is called as columns of classes are."""
    return not {key_of(name), inner_key(name)}.isdisjoint(LABELS)


def choose_path(table: Table, reading: Reading) -> str:
    """Return the name of the column that holds paths.

    Raises:
        HardenerError: see `choose`.
    """
    if reading.path_column is not None:
        chosen = named(table, reading.path_column, "--path-column")
    else:
        known = by_name(table, PATHS)
        known = [name for name in known if not _is_url(table.columns[name])] or known
        spelled = [name for name in known if any(map(looks_like_image, table.columns[name][:50]))]
        seen = [name for name, cells in table.columns.items() if any(map(looks_like_image, cells[:50]))]
        found = [*spelled, *seen, *known] or ([] if table.headed else list(table.columns)[:1])
        if not found:
            if len(table.columns) == 1:
                raise NoColumn(
                    f"{table.name} has one column, {list_of(table)}, and none that names images. Add one called path, "
                    "with the image of each row."
                )
            raise NoColumn(
                f"{table.name} has the columns {list_of(table)}, and none is known to hold paths of images. Name "
                f"it: --path-column {shlex.quote(max(table.columns, key=lambda name: len(set(table.columns[name]))))}."
            )
        chosen = found[0]
    if _is_url(table.columns[chosen]):
        raise HardenerError(
            f"column {chosen!r} of {table.name} holds URLs, which are never fetched. Download the images first, such "
            "as by: wget -P imgs -i urls.txt, with a URL a line; then write their file "
            "names into the column."
        )
    return chosen


def _labels(table: Table, reading: Reading, path: str, used: Collection[str]) -> tuple[list[str], str]:
    """Return the class of each row, and what the columns are called.

    Args:
        used: columns that tell splits.
    """
    rest = [name for name in table.columns if name != path and name not in used]
    known: list[str] = []
    if reading.label_column is not None:
        chosen = named(table, reading.label_column, "--label-column")
    else:
        known = [name for name in by_name(table, LABELS) if name in rest]
        if not known:
            marked = _one_hot(table, rest)
            if marked is not None:
                return marked
            known = [
                own for own in rest if not measures(own, table.columns[own]) and repeats_itself(table.columns[own])
            ]
            known = known if len(known) == 1 else []
        if not known:
            raise NoColumn(_no_classes(table, rest, path))
        chosen = known[0]
        if others := others_of(chosen, table.columns, rest):
            raise NoColumn(
                f"columns {', '.join([chosen, *others][:3])} of {table.name} look like answers of several to the same "
                f"question, and an image has one class here. Take one: --label-column {shlex.quote(chosen)}; or write "
                "what they agree on into a column called label."
            )
    cells = table.columns[chosen]
    several = next((cell for cell in cells if cell[:1] in "[{" and cell[:1]), None)
    if several is not None:
        raise HardenerError(
            f"column {chosen!r} of {table.name} holds lists ({several[:40]}); an image has one class here. Write one "
            "class into each row, or name another column by --label-column."
        )
    more = (
        f" (--label-column {shlex.quote(known[1])} takes another)"
        if reading.label_column is None and len(known) > 1
        else ""
    )
    return [("" if cell.lower() in _UNKNOWN else cell) for cell in _whole(cells)], f"column {chosen!r}{more}"


def _no_classes(table: Table, rest: list[str], path: str) -> str:
    if len(table) >= _FEWEST and rest and not may_hold_classes(table, rest):
        return (
            f"{table.name} has the columns {counted(table, list(table.columns))}, and none is known to hold classes or "
            "has values that many rows share. Add a column called label; or, if one holds them, --label-column NAME."
        )
    if rest:
        return (
            f"{table.name} has the columns {counted(table, list(table.columns))}, and none is known to hold classes. "
            f"Name it: --label-column {shlex.quote(most_likely(table, rest))}."
        )
    told = [name for name in table.columns if name != path]
    if told:
        return (
            f"{table.name} tells the split of each image, in {called(told)}, and no class. Add a column called label; "
            f"or, if this is the class, pass --label-column {shlex.quote(told[0])}."
        )
    return f"{table.name} has one column, {list_of(table)}, and none that holds classes. Add one called label."


def _unread(table: Table, path: str, labels: list[str]) -> list[str]:
    """Tell of columns without names that have few values and no part in the classes: they may tell splits."""
    rest = {name: cells for name, cells in table.columns.items() if name != path and 2 <= len(set(cells)) <= _PARTS}
    few = [name for name, cells in rest.items() if len(set(zip(cells, labels, strict=True))) > len(set(labels))]
    if table.headed or not few:
        return []
    return [
        f"{called(few)} of {table.name} {'is' if len(few) == 1 else 'are'} not used: if splits are told there, such "
        f"as by {some_of(rest[few[0]])}, write train, val or test in their place, and pass --split-column {few[0]}"
    ]


def _torn(table: Table) -> list[str]:
    """Tell of lines that were left out: the cells of one are shifted where a comma stands in it without quotes."""
    if not table.torn:
        return []
    one = len(table.torn) == 1
    return [
        f"{len(table.torn)} line{'' if one else 's'} of {table.name} {'has' if one else 'have'} more cells than there "
        f"are columns ({', '.join(map(str, table.torn[:5]))}{', …' if len(table.torn) > 5 else ''}) and "
        f"{'is' if one else 'are'} left out: put quotes around cells that hold the delimiter"
    ]


def _several(name: str, labels: list[str]) -> list[str]:
    """Tell of cells that put together what are classes of their own: `cat|dog` beside `cat` and `dog`."""
    known = set(labels)
    parts = {label: _BETWEEN.split(label.strip()) for label in known}
    joined = sorted(label for label, own in parts.items() if len(set(own)) > 1 and known.issuperset(own))
    if not joined:
        return []
    count = sum(label in joined for label in labels)
    return [
        f"{count} rows of {name} have several classes in a cell, such as {joined[0]!r}, taken for a class of its own; "
        f"an image has one class here: {ignoring(joined)} leaves these images out"
    ]


def _one_hot(table: Table, rest: list[str]) -> tuple[list[str], str] | None:
    """Return classes that are columns with a 1 in one of them, as ISIC's tables have them.

    None where few marks stand beside columns that may be the classes: of an image's quality, say.

    Raises:
        HardenerError: an image has several.
    """
    binary = [name for name in rest if is_binary(table.columns[name])]
    marks = [name for name in binary if key_of(name).removesuffix("s")[-6:] != "weight"]
    if len(marks) < 2 or all(map(asks_people, marks)):
        return None
    unsure = len(marks) == 2 or max(ones(table, marks)) > 1
    if unsure and may_hold_classes(table, [name for name in rest if name not in binary]):
        return None
    labels = []
    for row, cells in enumerate(zip(*(table.columns[name] for name in marks), strict=True)):
        chosen = [name for name, cell in zip(marks, cells, strict=True) if is_yes(cell)]
        if len(chosen) > 1:
            raise HardenerError(
                f"row {row + 1} of {table.name} has a 1 in {len(chosen)} columns ({', '.join(chosen[:3])}); an image "
                "has one class here, and sets with several labels an image are not trained on. Write one class into "
                "each row, in a column called label; or name the one that counts: --label-column "
                f"{shlex.quote(chosen[0])}."
            )
        labels.append(chosen[0] if chosen else "")
    return labels, f"the {len(marks)} columns of 0 and 1 ({', '.join(marks[:3])}{', …' if len(marks) > 3 else ''})"


def _is_url(cells: list[str]) -> bool:
    return any(_URL.match(cell) for cell in cells[:50])


def _whole(cells: list[str]) -> list[str]:
    """Write 3.0 as 3, where all are so: a table that once lacked a number has made floats of the others."""
    if all(re.fullmatch(r"(?:\d+\.0)?", cell) for cell in cells):
        return [cell.removesuffix(".0") for cell in cells]
    return cells
