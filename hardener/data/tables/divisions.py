"""Which columns of a table tell the split of each image, and what they tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from hardener.config.reading import Reading
from hardener.data.brought import SplitName
from hardener.data.split_names import looks_like_split, own_name, split_of, words_of
from hardener.data.tables.content import Table
from hardener.data.tables.names import LABELS, SPLITS, by_name, called, key_of, named, some_of
from hardener.errors import HardenerError

_FLAG = re.compile(
    r"(?:is|in|isin|for|usedfor|usefor)(?:(?P<train>train(?:ing)?|trn)|(?P<test>te?st(?:ing)?|holdout|heldout)"
    r"|(?P<validation>val|valid|validation|dev))(?:set|split|data|img|image|sample)?s?"
)
"""Names of columns of 0 and 1 for one split: `is_train`, `is_training_img`, `used_for_test`."""
_BARE: dict[str, SplitName] = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "val": "validation",
    "validation": "validation",
}  # fmt: skip
"""Names of flags that may be classes as well: a train, a test."""
_SURE = {"split", "splits", "fold", "folds", "kfold", "partition", "partitions", "partitioning"}
"""Words that no class is asked by."""
_PART = re.compile(r"-?\d{1,2}(?:\.0)?|[A-Za-z]|", re.ASCII)
_ORDER: tuple[SplitName, ...] = ("train", "validation", "test")
_MAJORITY = 0.5
_SPELLINGS = 12
"""Values of a column of splits; of one with more not each is looked at."""
_YES, _NO = {"1", "true", "yes", "1.0"}, {"0", "false", "no", "0.0", ""}


def tells_splits(header: Iterable[str]) -> bool:
    """Tell whether one of the names of a table's columns may be that of a column of splits."""
    return any(is_called_split(name) or _flag_of(name) for name in header)


def tells_division(table: Table, name: str, path: str) -> bool:
    """Tell whether a column divides the images by its name and its cells, whether or not train and test are told.

    The one column of a table without names of columns is called as its file is.
    """
    cells = table.columns[name]
    if not any(cells) or name == path:
        return False
    if key_of(name) and (_FLAG.fullmatch(key_of(name)) and is_binary(cells)):
        return True
    if is_called_split(name) or (not table.headed and len(table.columns) == 2 and _fileis_called_split(table)):
        return all(_PART.fullmatch(cell) or split_of(cell) or looks_like_split(cell) for cell in set(cells))
    return False


def only_divides(table: Table, path: str) -> bool:
    """Tell whether a table tells nothing of its images but how they are divided."""
    rest = [name for name in table.columns if name != path]
    return bool(rest) and all(tells_division(table, name, path) for name in rest)


def is_called_split(name: str) -> bool:
    """Tell whether a column, or a file, is called as one of splits is."""
    return key_of(name) in SPLITS or not _SURE.isdisjoint(word.lower() for word in words_of(name))


def _fileis_called_split(table: Table) -> bool:
    return not _SURE.isdisjoint(word.lower() for word in words_of(_file(table)))


def _file(table: Table) -> str:
    return own_name(table.name.replace("\\", "/"))


def _by_number(table: Table, name: str) -> tuple[list[SplitName | None], str, bool] | None:
    """Read 0, 1 and 2, or 1, 2 and 3, as train, validation and test; with how, and whether that is the custom.

    CelebA's partition is so. Elsewhere the first must have most rows; folds are never read so.
    """
    cells = [cell.removesuffix(".0") for cell in table.columns[name]]
    numbers = sorted(set(cells) - {""})
    words = {word.lower() for word in (*words_of(name), *words_of(_file(table)))}
    if numbers not in (["0", "1", "2"], ["1", "2", "3"]) or not words.isdisjoint({"fold", "folds", "kfold", "cv"}):
        return None
    custom = "partition" in words and numbers[0] == "0"
    if not custom and Counter(cells)[numbers[0]] <= _MAJORITY * len(cells):
        return None
    told = dict(zip(numbers, _ORDER, strict=True))
    how = f" ({', '.join(f'{number} {split}' for number, split in told.items())})"
    return [told.get(cell) for cell in cells], how, custom


def splits_of(
    table: Table, reading: Reading, path: str, doubts: list[str]
) -> tuple[list[SplitName | None] | None, list[str], str]:
    """Return the split of each row, the columns that tell it, and what their numbers were taken for."""
    if reading.split_column is not None:
        chosen = named(table, reading.split_column, "--split-column")
        return _as_asked(table, chosen, doubts)
    for chosen in dict.fromkeys(
        [*by_name(table, SPLITS), *(own for own in table.columns if _divides(table, own, path))]
    ):
        if chosen in (path, reading.label_column):
            continue
        found = [split_of(cell) for cell in table.columns[chosen]]
        if any(found):
            _tell_unknown(table, chosen, found, doubts)
            return found, [chosen], ""
        if (numbered := _by_number(table, chosen)) is not None:
            return _numbered(table, chosen, numbered, doubts)
        if chosen.lower() in {"split", "fold", "set", "subset"} or tells_division(table, chosen, path):
            doubts.append(
                f"column {chosen!r} of {table.name} holds {some_of(table.columns[chosen])}, which names no train, val "
                "or test: it was not used"
            )
            return None, [chosen], ""  # it is no column of classes either
    for name in [own for own in table.columns if own not in (path, reading.label_column)]:  # TRAIN,imgs/1.jpg,cat
        cells = table.columns[name]
        told = {cell: split_of(cell) for cell in values} if len(values := set(cells)) <= _SPELLINGS else {"": None}
        if all(told.values()) and "train" in told.values() and (not table.headed or len(set(told.values())) > 1):
            return [told[cell] for cell in cells], [name], ""
    flags = flags_of(table, reading, path)
    return _by_flags(table, flags, doubts), flags, ""


def _divides(table: Table, name: str, path: str) -> bool:
    return _flag_of(name) is None and tells_division(table, name, path)


def _as_asked(table: Table, chosen: str, doubts: list[str]) -> tuple[list[SplitName | None] | None, list[str], str]:
    """Read the column that the user names."""
    found = _by_flag(table, chosen) or [split_of(cell) for cell in table.columns[chosen]]
    if not any(found) and (numbered := _by_number(table, chosen)) is not None:
        return _numbered(table, chosen, numbered, doubts)
    if not any(found):
        raise HardenerError(
            f"column {chosen!r} of {table.name} tells no split: it holds {some_of(table.columns[chosen])}. Write "
            "train, val or test into each row."
        )
    _tell_unknown(table, chosen, found, doubts)
    return found, [chosen], ""


def _numbered(
    table: Table, chosen: str, numbered: tuple[list[SplitName | None], str, bool], doubts: list[str]
) -> tuple[list[SplitName | None], list[str], str]:
    found, how, custom = numbered
    if not custom:
        doubts.append(
            f"column {chosen!r} of {table.name} holds numbers, taken for splits by how many rows each has{how}: if "
            "they mean something else, write train, val or test in their place"
        )
    _tell_unknown(table, chosen, found, doubts)
    return found, [chosen], how


def _by_flag(table: Table, name: str) -> list[SplitName | None] | None:
    return _by_flags(table, [name], []) if _flag_of(name) and is_binary(table.columns[name]) else None


def _by_flags(table: Table, names: list[str], doubts: list[str]) -> list[SplitName | None] | None:
    """Read columns such as `is_train`, of 0 and 1; None where none has a 1.

    Rows without a 1 are for training where no column tells that, and the test where only that is told.

    Raises:
        HardenerError: a row is of two splits.
    """
    told = {name: _flag_of(name) for name in names}
    marked = [{told[name] for name in names if is_yes(table.columns[name][row])} for row in range(len(table))]
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
            f"{count} rows of {table.name} have no 1 in {called(names)}: no split is told, so they are left out"
        )
    return found


def flags_of(table: Table, reading: Reading, path: str) -> list[str]:
    """Return the columns of 0 and 1 that tell splits, such as `is_val` and `is_test`.

    `train` and `test` are such columns beside one of classes. Beside columns of 0 and 1 that may be classes, they are
    classes too where a row has a 1 in one of all these alone.
    """
    asked = (path, reading.label_column, reading.split_column)
    binary = [name for name in table.columns if name not in asked and is_binary(table.columns[name])]
    sure = [name for name in binary if _FLAG.fullmatch(key_of(name))]
    bare = [name for name in binary if key_of(name) in _BARE]
    known = reading.label_column is not None or any(name != path for name in by_name(table, LABELS))
    others = [name for name in binary if name not in sure and name not in bare]
    if not bare or known or not others or ones(table, bare) == {1} or ones(table, others) == {1}:
        return [name for name in binary if name in sure or name in bare]
    most = {0, 1} if len(others) > 1 else {1}
    return sure if ones(table, [*bare, *others]) <= most else [*sure, *bare]


def _flag_of(name: str) -> SplitName | None:
    found = _FLAG.fullmatch(key_of(name))
    return _BARE.get(key_of(name)) if found is None else next(own for own in _ORDER if found[own])


def is_binary(cells: list[str]) -> bool:
    """Tell whether a column holds nothing but 0 and 1, or the like."""
    return {cell.lower() for cell in cells} <= _YES | _NO and any(cells)


def is_yes(cell: str) -> bool:
    return cell.lower() in _YES


def ones(table: Table, names: list[str]) -> set[int]:
    """Return how many of these columns have a 1 in a row."""
    return {sum(map(is_yes, cells)) for cells in zip(*(table.columns[name] for name in names), strict=True)}


def _tell_unknown(table: Table, name: str, found: list[SplitName | None], doubts: list[str]) -> None:
    unknown = [cell for cell, split in zip(table.columns[name], found, strict=True) if split is None]
    if unknown:
        doubts.append(
            f"{len(unknown)} rows of {table.name} have {some_of(unknown)} in column {name!r}: no split, so they are "
            "left out"
        )
