"""The bytes of a table -> columns of text. It knows nothing of images but how their names end."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from hardener.data.tables.content import Table, as_text, lines_of, looks_like_image
from hardener.data.tables.objects import lines_of_json, of_json, of_objects
from hardener.errors import HardenerError

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".manifest", ".json", ".txt", ".lst")
LISTS = (".txt", ".lst")
"""Of these what may also hold text of any kind."""
_DELIMITERS = ",\t;|"
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_PEEKED = 20
_FEWEST, _FORMED = 3, 1000
"""Rows without which a first line's form says nothing, and those that are looked at."""
_TORN = 0.05
"""The share of lines that may have more cells than the header, as where a name holds a comma and no quotes."""


def lines_in(path: Path) -> list[str]:
    """Return a text file's lines, without the blanks around them.

    Raises:
        HardenerError: it is not UTF-8.
    """
    return [line.strip() for line in lines_of(_decoded(str(path), path.read_bytes()))]


def read_table(name: str, data: bytes) -> Table:
    """Read a table by the ending of its name.

    Args:
        name: what messages call it.
    Raises:
        HardenerError: it is empty, in an unknown encoding, or torn; or two columns have one name.
    """
    ending = name.lower().rpartition(".")[2]
    text = _text(name, data)
    text = text if "json" in ending else uncounted(text)
    if ending in {"jsonl", "ndjson", "manifest"}:
        table = of_objects(name, lines_of_json(name, text))
    elif ending == "json":
        table = of_json(name, text)
    else:
        words = not _is_divided(text) and (f".{ending}" in LISTS or _is_listing(text))
        table = _of_rows(name, _listing(text) if words else _cells(name, text))
    if not len(table):
        raise HardenerError(f"{name} has {'a header and no rows' if table.columns else 'no rows'}. Add a row an image.")
    return table


def _decoded(name: str, data: bytes) -> str:
    mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", "utf-8"))
    try:
        text = data.decode(encoding) if encoding == "utf-16" else data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        stem, dot, ending = name.rpartition(".")
        raise HardenerError(
            f"{name} is not UTF-8 (line {line}). If it was written on Windows, convert it: iconv -f WINDOWS-1252 -t "
            f"UTF-8 {shlex.quote(name)} > {shlex.quote(f'{stem}-utf8{dot}{ending}')}, and put that in its place."
        ) from None
    return text.removeprefix("\ufeff")


def _text(name: str, data: bytes) -> str:
    text = _decoded(name, data)
    if "\0" in text:
        raise HardenerError(f"{name} holds zero bytes: it is no table of text. Save it as CSV in UTF-8.")
    if not text.strip():
        raise HardenerError(f"{name} is empty. It needs a header such as path,label and a row an image.")
    return text


def uncounted(text: str) -> str:
    """Empty a first line that counts the lines below, as CelebA's lists have one; there may be a header between."""
    first, _, rest = text.partition("\n")
    if not first.strip().isdecimal() or " " not in rest.strip().partition("\n")[0].strip().replace(",", " "):
        return text
    count = sum(1 for line in lines_of(rest) if line.strip())
    return f"\n{rest}" if int(first) in (count, count - 1) else text


def _is_divided(text: str) -> bool:
    return any(mark in text.lstrip("\n").partition("\n")[0] for mark in _DELIMITERS)


def _listing(text: str) -> list[tuple[int, list[str]]]:
    """Return lines such as `photos/1.jpg cat`; a path may hold spaces. Or more words, of which one names the image."""
    words = [(number, line.split()) for number, line in enumerate(lines_of(text), 1) if line.strip()]
    if _is_of_words([cells for _, cells in words]):
        return words
    (number, header), *below = words
    if below and not any(map(looks_like_image, header)) and _is_of_words([cells for _, cells in below]):
        width = len(below[0][1])
        if len(header) == width - 1 and looks_like_image(below[0][1][0]):  # CelebA's attributes: the image has no name
            header = ["image", *header]
        if len(header) == width:
            return [(number, header), *below]
    rows = []
    for number, line in enumerate(lines_of(text), 1):
        path, _, label = line.strip().replace("\t", " ").rpartition(" ")
        if label:
            rows.append((number, [path.strip(), label] if path else [label]))
    return rows


def _is_listing(text: str) -> bool:
    """Tell whether every line holds an image's name and more behind it, parted by blanks alone."""
    lines = [line.split() for line in lines_of(text) if line.strip()]
    return len(lines) > 1 and all(len(line) > 1 and looks_like_image(line[0]) for line in lines)


def _is_of_words(lines: Sequence[Sequence[str]]) -> bool:
    """Tell whether each word is a cell: `0042 1.jpg cat scan`. Where one follows the image, it may hold the others."""
    width = len(lines[0])
    if width < 3 or any(len(line) != width for line in lines):
        return False
    named = [place for place in range(width) if all(looks_like_image(line[place]) for line in lines)]
    return len(named) == 1 and named[0] != width - 2


def _cells(name: str, text: str) -> list[tuple[int, list[str]]]:
    first, _, rest = text.partition("\n")
    told = None
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own way to say it
        told, text = first.strip()[-1], rest
    text = _uncommented(text)
    delimiter = told or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != "\t")
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise HardenerError(f"{name} cannot be read at line {reader.line_num}: {error}. Mend its quotes.") from None
    return rows


def _uncommented(text: str) -> str:
    """Empty the lines before a header that begin with # and have none of its delimiters."""
    lines = list(io.StringIO(text, newline=""))
    first = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    marks = {mark for mark in _DELIMITERS if lines and mark in lines[first]}
    if not first or not marks or any(mark in line for mark in marks for line in lines[:first]):
        return text
    return "\n" * first + "".join(lines[first:])


def _delimiter(text: str) -> str:
    """Return what divides the cells, the header's too, and leaves names of images whole; of several what gives most."""
    best, most = ",", (False, False, 1)
    for mark in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        try:
            rows = [cells for cells, _ in zip(reader, range(_PEEKED), strict=False) if cells]
        except csv.Error:
            continue
        counts = Counter(map(len, rows))
        width, times = counts.most_common(1)[0] if counts else (1, 0)
        if width < 2 or len(rows[0]) < 2 or times * 2 <= counts.total():
            continue
        whole = any(looks_like_image(cell) for cells in rows for cell in cells)
        if (found := (whole, len(rows[0]) == width, width)) > most:
            best, most = mark, found
    return best


def _of_rows(name: str, rows: Sequence[tuple[int, Sequence[str]]]) -> Table:
    _, first = rows[0]
    headed = not any(map(looks_like_image, first)) and not _is_like_those_below([cells for _, cells in rows])
    header = [cell.strip() for cell in first] if headed else [str(place) for place in range(1, len(first) + 1)]
    while header and not header[-1]:  # a delimiter at the end of the line
        header.pop()
    header = [cell or f"column {place}" for place, cell in enumerate(header, 1)]
    _refuse_twice(name, header)
    cells: list[list[str]] = [[] for _ in header]
    below = rows[1:] if headed else rows
    longer = [line for line, row in below if _is_longer(row, len(header))]
    torn = set(longer) if len(longer) <= _TORN * len(below) else set()
    for line, row in (pair for pair in below if pair[0] not in torn):
        if len(row) < len(header) or _is_longer(row, len(header)):
            raise HardenerError(
                f"line {line} of {name} has {len(row)} cells, and {'its header' if headed else 'the first line'} "
                f"{len(header)}. Put quotes around cells that hold the delimiter, or mend the line."
            )
        for column, cell in zip(cells, row, strict=False):
            column.append(cell.strip())
    columns: dict[str, list[str]] = {}
    for column_name, column in zip(header, cells, strict=True):
        columns |= _opened(column_name, column) or {column_name: column}
    return Table(name, columns, headed, tuple(sorted(torn)))


def _is_longer(row: Sequence[str], width: int) -> bool:
    return any(cell.strip() for cell in row[width:])


def _is_like_those_below(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first line is a row: it and all others begin with another name of one form, `ISIC_0000001`."""
    cells = [row[0].strip() for row in rows if row]
    forms = {re.sub(r"\d+", "0", cell) for cell in cells[: _FORMED + 1]}
    if len(cells) <= _FEWEST or len(forms) > 1 or not re.search(r"[^\W\d].*\d", cells[0]):
        return False
    return len(set(cells)) == len(cells)


def _opened(name: str, cells: Sequence[str]) -> dict[str, list[str]]:
    """Return a column of JSON objects as one for each of their names; nothing for any other."""
    if not all(cell.startswith("{") and cell.endswith("}") for cell in cells):
        return {}
    try:
        found = [json.loads(cell) for cell in cells]
    except (ValueError, RecursionError):
        return {}
    keys = dict.fromkeys(key for item in found for key in item)
    return {f"{name}.{key}": [as_text(item.get(key)) for item in found] for key in keys}


def _refuse_twice(name: str, header: Iterable[str]) -> None:
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise HardenerError(
            f"{name} has several columns called {', '.join(map(repr, twice[:3]))}. Rename them in its first line."
        )
