"""Which columns of a table hold the paths of images, their classes and their splits: told by the user, or guessed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from hardener.config.reading import Reading, ignoring
from hardener.data.brought import SplitName
from hardener.data.split_names import split_of
from hardener.data.tables.candidates import counted, may_hold_classes, most_likely, repeats_itself
from hardener.data.tables.table import Table, looks_like_image
from hardener.data.tree import is_named
from hardener.errors import HardenerError, did_you_mean

_words = str.split
_PATHS = _words(
    "path filepath imagepath imgpath imagefilepath filename file imagefile imagefilename imgfile imgname imagename "
    "relativepath relpath image img images picture photo filenames filepaths imageid imgid isicid id uid name key fname"
)
_LABELS = _words(
    "label labels classname class labelname target category categoryname species breed diagnosis dx disease variety "
    "y cls genre type kind finding emotion expression groundtruth gt answer classlabel labelid classid categoryid "
    "targetid tag tags choice subject"
)
_SPLITS = _words("split set subset partition usage phase fold datasplit dataset imageset traintest splitname")
_FLAGS: dict[str, SplitName] = {
    "istrain": "train", "istraining": "train", "istrainingimage": "train", "istest": "test", "istesting": "test",
    "isval": "validation", "isvalid": "validation", "isvalidation": "validation", "isdev": "validation",
}  # fmt: skip
_BARE: dict[str, SplitName] = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "val": "validation",
    "validation": "validation",
}  # fmt: skip
"""Names of flags that may be classes as well: a train, a test."""
_YES, _NO = {"1", "true", "yes", "1.0"}, {"0", "false", "no", "0.0", ""}
_UNKNOWN = {"nan", "n/a", "#n/a", "null", "<na>"}
"""What programs write where a class is not known."""
_PARTS = 3  # splits that a column may tell
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


class NoColumn(HardenerError):
    """A table lacks a column for paths or for classes: it may be no table of images."""


def choose(table: Table, reading: Reading) -> Columns:
    """Find the columns.

    Raises:
        HardenerError: a column that the user named is not there; paths are URLs; an image has several classes.
        NoColumn: none is known to hold paths or classes.
    """
    path = choose_path(table, reading)
    doubts: list[str] = []
    splits, used = _splits(table, reading, path, doubts)
    labels, label = _labels(table, reading, path, {*used, *_flags(table, reading, path)})
    doubts += _unread(table, path, labels) if splits is None else []
    doubts += _several(table.name, [label for label in labels if not is_named(label, reading.ignore)])
    told = [f"paths from column {path!r}", f"classes from {label}"]
    told += ["no column of splits" if splits is None else f"splits from {_called(used)}"]
    return Columns(table.columns[path], labels, splits, (f"{table.name}: {', '.join(told)}",), tuple(doubts))


def choose_splits(table: Table, reading: Reading) -> tuple[list[str], list[SplitName | None]] | None:
    """Return the path and the split of each row; None where no column tells splits. Classes may be told elsewhere.

    Raises:
        HardenerError: see `choose`.
    """
    path = choose_path(table, reading)
    splits, _ = _splits(table, reading, path, [])
    return None if splits is None else (table.columns[path], splits)


def tells_splits(header: Iterable[str]) -> bool:
    """Tell whether one of the names of a table's columns may be that of a column of splits."""
    return not {_key(name) for name in header}.isdisjoint({*_SPLITS, *_FLAGS, *_BARE})


def names_columns(lines: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first of some lines is a header with a column known to hold paths, and one of classes."""
    keys = {_key(cell) for cell in next(iter(lines), ())}
    return not keys.isdisjoint(_PATHS) and not keys.isdisjoint(_LABELS) and len(keys) > 1


def tells_classes(name: str) -> bool:
    """Tell whether a column is called as columns of classes are."""
    return not {_key(name), _inner(name)}.isdisjoint(_LABELS)


def _named(table: Table, asked: str, option: str) -> str:
    if asked not in table.columns:
        raise NoColumn(
            f"{table.name} has no column {asked!r}. It has {_list(table)}."
            f"{did_you_mean(asked, table.columns)} Pass {option} NAME."
        )
    return asked


def choose_path(table: Table, reading: Reading) -> str:
    """Return the name of the column that holds paths.

    Raises:
        HardenerError: see `choose`.
    """
    if reading.path_column is not None:
        chosen = _named(table, reading.path_column, "--path-column")
    else:
        known = _by_name(table, _PATHS)
        known = [name for name in known if not _is_url(table.columns[name])] or known
        spelled = [name for name in known if any(map(looks_like_image, table.columns[name][:50]))]
        seen = [name for name, cells in table.columns.items() if any(map(looks_like_image, cells[:50]))]
        found = [*spelled, *seen, *known]
        if not found:
            if len(table.columns) == 1:
                raise NoColumn(
                    f"{table.name} has one column, {_list(table)}, and none that names images. Add one called path, "
                    "with the image of each row."
                )
            raise NoColumn(
                f"{table.name} has the columns {_list(table)}, and none is known to hold paths of images. Name it: "
                f"--path-column {shlex.quote(max(table.columns, key=lambda name: len(set(table.columns[name]))))}."
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
        chosen = _named(table, reading.label_column, "--label-column")
    else:
        known = [name for name in _by_name(table, _LABELS) if name in rest]
        if not known:
            marked = _one_hot(table, rest)
            if marked is not None:
                return marked
            known = [name for name in rest if repeats_itself(table.columns[name])]
            known = known if len(known) == 1 else []
        if not known:
            raise NoColumn(
                f"{table.name} has the columns {counted(table, list(table.columns))}, and none is known to hold "
                f"classes. Name it: --label-column {shlex.quote(most_likely(table, rest))}."
                if rest
                else f"{table.name} has one column, {_list(table)}, and none that holds classes. Add one called label."
            )
        chosen = known[0]
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


def _unread(table: Table, path: str, labels: list[str]) -> list[str]:
    """Tell of columns without names that have few values and no part in the classes: they may tell splits."""
    rest = {name: cells for name, cells in table.columns.items() if name != path and 2 <= len(set(cells)) <= _PARTS}
    few = [name for name, cells in rest.items() if len(set(zip(cells, labels, strict=True))) > len(set(labels))]
    if table.headed or not few:
        return []
    return [
        f"{_called(few)} of {table.name} {'is' if len(few) == 1 else 'are'} not used: if splits are told there, such "
        f"as by {_some(rest[few[0]])}, write train, val or test in their place, and pass --split-column {few[0]}"
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
    binary = [name for name in rest if _is_binary(table.columns[name])]
    marks = [name for name in binary if _key(name).removesuffix("s")[-6:] != "weight"]
    if len(marks) < 2:
        return None
    unsure = len(marks) == 2 or max(_ones(table, marks)) > 1
    if unsure and may_hold_classes(table, [name for name in rest if name not in binary]):
        return None
    labels = []
    for row, cells in enumerate(zip(*(table.columns[name] for name in marks), strict=True)):
        chosen = [name for name, cell in zip(marks, cells, strict=True) if _is_yes(cell)]
        if len(chosen) > 1:
            raise HardenerError(
                f"row {row + 1} of {table.name} has a 1 in {len(chosen)} columns ({', '.join(chosen[:3])}); an image "
                "has one class here, and sets with several labels an image are not trained on. Write one class into "
                "each row, in a column called label; or name the column that holds it, --label-column NAME."
            )
        labels.append(chosen[0] if chosen else "")
    return labels, f"the {len(marks)} columns of 0 and 1 ({', '.join(marks[:3])}{', …' if len(marks) > 3 else ''})"


def _splits(
    table: Table, reading: Reading, path: str, doubts: list[str]
) -> tuple[list[SplitName | None] | None, list[str]]:
    """Return the split of each row, and the columns that tell it."""
    if reading.split_column is not None:
        chosen = _named(table, reading.split_column, "--split-column")
        found = _by_flag(table, chosen) or [split_of(cell) for cell in table.columns[chosen]]
        if not any(found):
            raise HardenerError(
                f"column {chosen!r} of {table.name} tells no split: it holds {_some(table.columns[chosen])}. Write "
                "train, val or test into each row."
            )
        _tell_unknown(table, chosen, found, doubts)
        return found, [chosen]
    for chosen in _by_name(table, _SPLITS):
        if chosen in (path, reading.label_column):
            continue
        found = [split_of(cell) for cell in table.columns[chosen]]
        if any(found):
            _tell_unknown(table, chosen, found, doubts)
            return found, [chosen]
        if chosen.lower() in {"split", "fold", "set", "subset"}:
            doubts.append(
                f"column {chosen!r} of {table.name} holds {_some(table.columns[chosen])}, which names no train, val or "
                "test: it was not used"
            )
            return None, [chosen]  # it is no column of classes either
    if not table.headed:  # TRAIN,imgs/1.jpg,cat
        for name in [own for own in table.columns if own not in (path, reading.label_column)]:
            found = [split_of(cell) for cell in table.columns[name]]
            if all(found) and "train" in found:
                return found, [name]
    flags = _flags(table, reading, path)
    return _by_flags(table, flags, doubts), flags


def _by_flag(table: Table, name: str) -> list[SplitName | None] | None:
    return _by_flags(table, [name], []) if _flag_of(name) and _is_binary(table.columns[name]) else None


def _by_flags(table: Table, names: list[str], doubts: list[str]) -> list[SplitName | None] | None:
    """Read columns such as `is_train`, of 0 and 1; None where none has a 1.

    Rows without a 1 are for training where no column tells that, and the test where only that is told.

    Raises:
        HardenerError: a row is of two splits.
    """
    told = {name: _flag_of(name) for name in names}
    marked = [{told[name] for name in names if _is_yes(table.columns[name][row])} for row in range(len(table))]
    for row, splits in enumerate(marked, 1):
        if len(splits) > 1:
            raise HardenerError(
                f"row {row} of {table.name} has a 1 in several columns of splits ({', '.join(names)}); an image has "
                "one split here. Write it into each row, in a column called split, or name one column by "
                "--split-column."
            )
    if not any(marked):
        return None
    rest: SplitName | None = "train" if "train" not in told.values() else "test" if len(names) == 1 else None
    found = [next(iter(splits), rest) for splits in marked]
    if count := found.count(None):
        doubts.append(
            f"{count} rows of {table.name} have no 1 in {_called(names)}: no split is told, so they are left out"
        )
    return found


def _flags(table: Table, reading: Reading, path: str) -> list[str]:
    """Return the columns of 0 and 1 that tell splits, such as `is_val` and `is_test`.

    `train` and `test` are such columns beside one of classes. Beside columns of 0 and 1 that may be classes, they are
    classes too where a row has a 1 in one of all these alone.
    """
    asked = (path, reading.label_column, reading.split_column)
    binary = [name for name in table.columns if name not in asked and _is_binary(table.columns[name])]
    sure = [name for name in binary if _key(name) in _FLAGS]
    bare = [name for name in binary if _key(name) in _BARE]
    known = reading.label_column is not None or any(name != path for name in _by_name(table, _LABELS))
    others = [name for name in binary if name not in sure and name not in bare]
    if not bare or known or not others or _ones(table, bare) == {1} or _ones(table, others) == {1}:
        return [name for name in binary if name in sure or name in bare]
    most = {0, 1} if len(others) > 1 else {1}
    return sure if _ones(table, [*bare, *others]) <= most else [*sure, *bare]


def _flag_of(name: str) -> SplitName | None:
    return _FLAGS.get(_key(name)) or _BARE.get(_key(name))


def _is_binary(cells: list[str]) -> bool:
    """Tell whether a column holds nothing but 0 and 1, or the like."""
    return {cell.lower() for cell in cells} <= _YES | _NO and any(cells)


def _is_yes(cell: str) -> bool:
    return cell.lower() in _YES


def _ones(table: Table, names: list[str]) -> set[int]:
    """Return how many of these columns have a 1 in a row."""
    return {sum(map(_is_yes, cells)) for cells in zip(*(table.columns[name] for name in names), strict=True)}


def _called(names: list[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


def _tell_unknown(table: Table, name: str, found: list[SplitName | None], doubts: list[str]) -> None:
    unknown = [cell for cell, split in zip(table.columns[name], found, strict=True) if split is None]
    if unknown:
        doubts.append(
            f"{len(unknown)} rows of {table.name} have {_some(unknown)} in column {name!r}: no split, so they are left "
            "out"
        )


def _by_name(table: Table, order: Iterable[str]) -> list[str]:
    keys = {_inner(name): name for name in reversed(table.columns)}
    keys |= {_key(name): name for name in reversed(table.columns)}
    return list(dict.fromkeys(keys[wanted] for wanted in order if wanted in keys))


def _inner(name: str) -> str:
    """Return what tells the meaning of a column that was an object in JSON: image.path, label.name."""
    outer, _, inner = name.partition(".")
    return _key(outer if _key(outer) in {*_LABELS, *_SPLITS} else inner or outer)


def _key(name: str) -> str:
    return "".join(re.findall(r"\w", name.lower())).replace("_", "")


def _is_url(cells: list[str]) -> bool:
    return any(_URL.match(cell) for cell in cells[:50])


def _whole(cells: list[str]) -> list[str]:
    """Write 3.0 as 3, where all are so: a table that once lacked a number has made floats of the others."""
    if all(re.fullmatch(r"(?:\d+\.0)?", cell) for cell in cells):
        return [cell.removesuffix(".0") for cell in cells]
    return cells


def _list(table: Table) -> str:
    names = list(table.columns)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _some(cells: Iterable[str]) -> str:
    found = sorted(set(cells))
    return ", ".join(repr(cell) for cell in found[:4]) + (", …" if len(found) > 4 else "")
