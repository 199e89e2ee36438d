"""Which columns of a table hold the paths of images, their classes and their splits: told by the user, or guessed."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from hardener.config.reading import Reading
from hardener.data.brought import SplitName
from hardener.data.split_names import split_of
from hardener.data.tables.table import Table, looks_like_image
from hardener.data.tree import is_passed_over
from hardener.errors import HardenerError, did_you_mean

_words = str.split
_PATHS = _words(
    "path filepath imagepath imgpath imagefilepath filename file imagefile imagefilename imgfile imgname imagename "
    "relativepath relpath image img images picture photo filenames filepaths imageid imgid isicid id uid name key fname"
)
_LABELS = _words(
    "label labels classname class labelname target category categoryname species breed diagnosis dx disease variety "
    "y cls genre type kind finding emotion expression groundtruth gt answer classlabel labelid classid categoryid "
    "targetid tag tags subject"
)
_SPLITS = _words("split set subset partition usage phase fold datasplit dataset imageset traintest splitname")
_FLAGS: dict[str, SplitName] = {
    "istrain": "train", "istraining": "train", "istrainingimage": "train", "train": "train", "istest": "test",
    "test": "test", "isval": "validation", "isvalid": "validation", "isvalidation": "validation",
}  # fmt: skip
_YES, _NO = {"1", "true", "yes", "1.0"}, {"0", "false", "no", "0.0", ""}
_UNKNOWN = {"nan", "n/a", "#n/a", "null", "<na>"}
"""What programs write where a class is not known."""
_BETWEEN = re.compile(r"\s*[|;,+&]\s*|\s+")
_URL = re.compile(r"(?:https?|ftp|s3|gs|hdfs|abfss?|data):", re.I)


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
    path = _path_column(table, reading)
    doubts: list[str] = []
    splits, split = _splits(table, reading, path, doubts)
    labels, label = _labels(table, reading, path, split)
    doubts += _several(table.name, [label for label in labels if not is_passed_over(label, reading.ignore)])
    told = [f"paths from column {path!r}", f"classes from {label}"]
    told += ["no column of splits" if splits is None else f"splits from column {split!r}"]
    return Columns(table.columns[path], labels, splits, (f"{table.name}: {', '.join(told)}",), tuple(doubts))


def _named(table: Table, asked: str, option: str) -> str:
    if asked not in table.columns:
        raise HardenerError(
            f"{table.name} has no column {asked!r}. It has {_list(table)}."
            f"{did_you_mean(asked, table.columns)} Pass {option} NAME."
        )
    return asked


def _path_column(table: Table, reading: Reading) -> str:
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


def _labels(table: Table, reading: Reading, path: str, split: str | None) -> tuple[list[str], str]:
    """Return the class of each row, and what the columns are called."""
    rest = [name for name in table.columns if name not in (path, split)]
    known: list[str] = []
    if reading.label_column is not None:
        chosen = _named(table, reading.label_column, "--label-column")
    else:
        known = [name for name in _by_name(table, _LABELS) if name in rest]
        if not known:
            marked = _one_hot(table, rest)
            if marked is not None:
                return marked
            known = [name for name in rest if _may_be_label(table.columns[name])]
            known = known if len(known) == 1 else []
        if not known:
            raise NoColumn(
                f"{table.name} has the columns {_list(table)}, and none is known to hold classes. Name it: "
                f"--label-column {shlex.quote(_likely(table, rest))}."
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


def _several(name: str, labels: list[str]) -> list[str]:
    """Tell of cells that put together what are classes of their own: `cat|dog` beside `cat` and `dog`."""
    known = set(labels)
    parts = {label: _BETWEEN.split(label.strip()) for label in known}
    joined = sorted(label for label, own in parts.items() if len(set(own)) > 1 and known.issuperset(own))
    if not joined:
        return []
    count = sum(label in joined for label in labels)
    way = " ".join(f"--ignore {shlex.quote(glob.escape(label))}" for label in joined[:5])
    more = f", and so on for {len(joined) - 5} more," if len(joined) > 5 else ""
    return [
        f"{count} rows of {name} have several classes in a cell, such as {joined[0]!r}, taken for a class of its own; "
        f"an image has one class here: {way}{more} leaves these images out"
    ]


def _likely(table: Table, names: list[str]) -> str:
    """Return the column that repeats itself most, as classes do."""
    counts = {name: len(set(table.columns[name])) for name in names}
    return min(reversed(names), key=lambda name: (counts[name] < 2, counts[name]))


def _one_hot(table: Table, rest: list[str]) -> tuple[list[str], str] | None:
    """Return classes that are columns with a 1 in one of them, as ISIC's tables have them."""
    marks = [name for name in rest if set(map(str.lower, table.columns[name])) <= _YES | _NO]
    if len(marks) < 2:
        return None
    labels = []
    for row, cells in enumerate(zip(*(table.columns[name] for name in marks), strict=True)):
        chosen = [name for name, cell in zip(marks, cells, strict=True) if cell.lower() in _YES]
        if len(chosen) > 1:
            raise HardenerError(
                f"row {row + 1} of {table.name} has a 1 in {len(chosen)} columns ({', '.join(chosen[:3])}); an image "
                "has one class here. Write one class into each row, in a column called label."
            )
        labels.append(chosen[0] if chosen else "")
    return labels, f"the {len(marks)} columns of 0 and 1 ({', '.join(marks[:3])}{', …' if len(marks) > 3 else ''})"


def _splits(
    table: Table, reading: Reading, path: str, doubts: list[str]
) -> tuple[list[SplitName | None] | None, str | None]:
    """Return the split of each row, and the column that tells it."""
    if reading.split_column is not None:
        chosen = _named(table, reading.split_column, "--split-column")
        found = _by_flag(table, chosen) or [split_of(cell) for cell in table.columns[chosen]]
        if not any(found):
            raise HardenerError(
                f"column {chosen!r} of {table.name} tells no split: it holds {_some(table.columns[chosen])}. Write "
                "train, val or test into each row."
            )
        _tell_unknown(table, chosen, found, doubts)
        return found, chosen
    for chosen in _by_name(table, _SPLITS):
        if chosen in (path, reading.label_column):
            continue
        found = [split_of(cell) for cell in table.columns[chosen]]
        if any(found):
            _tell_unknown(table, chosen, found, doubts)
            return found, chosen
        if chosen.lower() in {"split", "fold", "set", "subset"}:
            doubts.append(
                f"column {chosen!r} of {table.name} holds {_some(table.columns[chosen])}, which names no train, val or "
                "test: it was not used"
            )
            return None, chosen  # it is no column of classes either
    for chosen in table.columns:
        if chosen not in (path, reading.label_column) and (found := _by_flag(table, chosen) or []):
            return found, chosen
    return None, None


def _by_flag(table: Table, name: str) -> list[SplitName | None] | None:
    """Read a column such as `is_train`, of 0 and 1; the other rows are test, or train."""
    split = _FLAGS.get(_key(name))
    cells = {cell.lower() for cell in table.columns[name]}
    if split is None or not cells <= _YES | _NO or not cells & _YES:
        return None
    other: SplitName = "test" if split == "train" else "train"
    return [split if cell.lower() in _YES else other for cell in table.columns[name]]


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


def _may_be_label(cells: list[str]) -> bool:
    """Tell whether a column repeats itself as classes do, and holds no measurements."""
    values = set(cells)
    return 2 <= len(values) <= len(cells) // 2 and not any(re.fullmatch(r"-?\d*\.\d+", cell) for cell in values)


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
