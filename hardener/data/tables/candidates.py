"""Which columns of a table may hold classes where no name tells it, the most plausible first: what advice names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hardener.data.split_names import split_of, words_of
from hardener.data.tables.content import Table

_TELLING = {
    "label", "labels", "class", "classes", "category", "categories", "target", "diagnosis", "dx", "grade", "grades",
    "level", "stage", "severity", "species", "breed", "race", "genus", "family", "kind", "type", "disease", "finding",
    "tumor", "emotion", "expression", "variety",
}  # fmt: skip
_MEASURES = {
    "x", "y", "z", "w", "h", "x1", "x2", "y1", "y2", "xmin", "xmax", "ymin", "ymax", "width", "height", "spacing",
}  # fmt: skip
"""Words at the end of the names of columns of places and sizes."""
_NUMBERS = {"id", "ids", "idx", "index", "number", "nr", "no"}
_MARKS = {"0", "1", "true", "false", "yes", "no", "0.0", "1.0", ""}
_NUMBER = re.compile(r"-?\d+(?:\.0+)?")
_FIGURE = re.compile(r"-?\d*\.?\d+")
_MEASURED = re.compile(r"-?\d*\.\d*[1-9]\d*")
"""Numbers that are not whole ones written as such, `1.0`."""
_DATE = re.compile(r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{4})(?:[T ][\d:.]+\w*)?")
_GRADES, _EACH = 10, 8
"""The most values with fractions that may be classes, such as 0, 1/3, 2/3 and 1, and the rows that each has then."""
_MOST, _ROW = 8, 4
_LONGEST = 20


def may_hold_classes(table: Table, names: Sequence[str]) -> list[str]:
    """Return the columns that repeat themselves as classes do and hold no measurements, the most plausible first."""
    fit = [name for name in names if not measures(name, table.columns[name]) and repeats_itself(table.columns[name])]
    order = reversed(fit) if table.headed else fit  # what follows the image is its class most often
    if not table.headed:  # no name tells of a mark or a count: their order does
        if len(fit) >= _ROW:  # of many figures the class is the last
            return sorted(fit, key=lambda name: (all(map(_FIGURE.fullmatch, table.columns[name])), -fit.index(name)))
        return sorted(order, key=lambda name: all(map(_NUMBER.fullmatch, table.columns[name])))
    return sorted(order, key=lambda name: _doubt(name, table.columns[name]))


def most_likely(table: Table, names: Sequence[str]) -> str:
    """Return the column to name as an example."""
    fit = may_hold_classes(table, names)
    counts = {name: len(set(table.columns[name])) for name in names}
    return fit[0] if fit else min(reversed(names), key=lambda name: (counts[name] < 2, counts[name]))


def counted(table: Table, names: Sequence[str]) -> str:
    """Return names of columns, with how many values those have that repeat themselves, and the first of these."""
    told = []
    for name in names[:_MOST]:
        values = sorted(set(table.columns[name]) - {""})
        shown = ", ".join(value[:_LONGEST] for value in values[:2]) + (", …" if len(values) > 2 else "")
        told.append(f"{name} ({len(values)} values: {shown})" if 1 < len(values) <= len(table) // 2 else name)
    return ", ".join(told) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def repeats_itself(cells: Sequence[str]) -> bool:
    """Tell whether a column repeats itself as classes do, and holds no measurements and no dates."""
    values = set(cells)
    if not 2 <= len(values) <= len(cells) // 2:
        return False
    if len(values) > min(_GRADES, len(cells) // _EACH) and any(map(_MEASURED.fullmatch, values)):
        return False
    return not all(map(_DATE.fullmatch, values - {""}))


def measures(name: str, cells: Sequence[str]) -> bool:
    """Tell whether a column holds numbers and is called like places or sizes: `righteye_x`, `OriginalImage[Width`."""
    parts = re.findall(r"[a-z]+\d*", name.lower())
    called = bool(parts) and parts[-1] in _MEASURES and not (len(name) == 1 and name.isalpha())
    return called and all(not cell or _NUMBER.fullmatch(cell) or _MEASURED.fullmatch(cell) for cell in set(cells))


def _doubt(name: str, cells: Sequence[str]) -> tuple[bool | int, ...]:
    """Return what speaks against a column, the gravest first."""
    words = {word.lower() for word in words_of(name)}
    values = {cell.lower() for cell in cells}
    return (
        any(map(split_of, words)) or not _NUMBERS.isdisjoint(words),
        _TELLING.isdisjoint(words),
        values <= _MARKS,
        all(map(_NUMBER.fullmatch, values)),
        len(values),
    )
