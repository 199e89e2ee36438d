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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardener.data.file_kind import EXTENSIONS
from hardener.data.split_names import split_of
from hardener.errors import HardenerError

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".manifest", ".json", ".txt")
_DELIMITERS = ",\t;|"
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_PEEKED = 20
_FEWEST, _FORMED = 3, 1000
"""Rows without which a first line's form says nothing, and those that are looked at."""


@dataclass(frozen=True)
class Table:
    """Rows by columns.

    Attributes:
        name: what messages call it.
        columns: name -> the text in each row, empty where there is none.
        headed: whether the table names its columns; else they are called 1, 2, …
    """

    name: str
    columns: dict[str, list[str]]
    headed: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def looks_like_image(text: str) -> bool:
    """Tell whether a text ends as the name of an image file does."""
    return text.strip().lower().endswith(EXTENSIONS)


def lines_of(text: str) -> list[str]:
    """Return the lines of a file. `splitlines` also ends one at marks that a cell may hold, such as U+2028."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


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
        table = _of_objects(name, _lines_of_json(name, text))
    elif ending == "json":
        table = _of_json(name, text)
    else:
        table = _of_rows(name, _listing(text) if ending == "txt" and not _is_divided(text) else _cells(name, text))
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
    for line, row in rows[1:] if headed else rows:
        if len(row) != len(header) and (len(row) < len(header) or any(cell.strip() for cell in row[len(header) :])):
            raise HardenerError(
                f"line {line} of {name} has {len(row)} cells, and {'its header' if headed else 'the first line'} "
                f"{len(header)}. Put quotes around cells that hold the delimiter, or mend the line."
            )
        for column, cell in zip(cells, row, strict=False):
            column.append(cell.strip())
    columns: dict[str, list[str]] = {}
    for column_name, column in zip(header, cells, strict=True):
        columns |= _opened(column_name, column) or {column_name: column}
    return Table(name, columns, headed)


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


def _lines_of_json(name: str, text: str) -> list[Any]:
    found = []
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                raise HardenerError(
                    f"line {number} of {name} is no JSON. Each line is an object such as "
                    '{"path": "imgs/1.jpg", "label": "cat"}.'
                ) from None
    return found


def _of_json(name: str, text: str) -> Table:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HardenerError(f"{name} is no JSON that can be read: {error}.") from None
    if isinstance(found, dict) and {"images", "annotations", "categories"} <= found.keys():
        return _of_categories(name, found)
    if isinstance(found, dict) and {"images", "annotations"} <= found.keys():
        raise HardenerError(
            f"{name} is a list of COCO's without categories, such as captions. Pass the one with classes: "
            "instances_train2017.json, or the folder that holds annotations/."
        )
    if isinstance(found, dict) and _is_divided_by_name(found):
        return _of_objects(name, _by_split(name, found))
    if isinstance(found, dict) and isinstance(found.get("labels"), dict) and isinstance(found.get("classes"), list):
        return _of_labels(name, found["labels"], found["classes"])
    if isinstance(found, dict) and found and all(map(looks_like_image, found)):
        if all(isinstance(value, dict) for value in found.values()):
            return _of_objects(name, [{"path": path, **value} for path, value in found.items()])
        return Table(name, {"path": list(found), "label": [as_text(value) for value in found.values()]})
    if isinstance(found, dict) and found and all(isinstance(value, dict) for value in found.values()):
        own = "key" if any("name" in value for value in found.values()) else "name"
        return _of_objects(name, [{own: key, **value} for key, value in found.items()])
    if isinstance(found, dict) and (listed := _of_lists(found)):
        return Table(name, {"path": [path for path, _ in listed], "label": [label for _, label in listed]})
    if isinstance(found, dict) and found and all(isinstance(value, list) for value in found.values()):  # noqa: SIM102
        if len({len(value) for value in found.values()}) == 1:
            return Table(name, {key: [as_text(value) for value in column] for key, column in found.items()})
    return _of_objects(name, only_list(found) or found)


def _of_labels(name: str, labels: dict[str, Any], names: list[Any]) -> Table:
    """Read {"classes": ["cat", "dog"], "labels": {"000001": 0}}, as FiftyOne writes it."""
    known = {number: as_text(own) for number, own in enumerate(names)}
    found = [
        known.get(value, as_text(value)) if isinstance(value, int) else as_text(value) for value in labels.values()
    ]
    return Table(name, {"name": list(labels), "label": found})


def only_list(found: object) -> list[Any] | None:
    """Return a list, or the one list of an object that is neither empty nor of numbers: {"samples": […], "size": 3}."""
    if isinstance(found, list):
        return found
    values = found.values() if isinstance(found, dict) else ()
    lists = [own for own in values if isinstance(own, list) and own and isinstance(own[0], dict | str)]
    return lists[0] if len(lists) == 1 else None


def _is_divided_by_name(found: dict[str, Any]) -> bool:
    """Tell whether an object lists what lies in train, val and test: most of its names are those of several splits."""
    named = [split for key, value in found.items() if isinstance(value, list | dict) and (split := split_of(key))]
    return bool(named) and (len(named) == len(found) or (len(set(named)) > 1 and 2 * len(named) > len(found)))


def _by_split(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of each split as rows.

    Raises:
        HardenerError: one tells no class.
    """
    rows: list[dict[str, Any]] = []
    for split, entries in found.items():
        pairs = list(entries.items()) if isinstance(entries, dict) else entries
        for entry in pairs if isinstance(pairs, list) else []:
            if isinstance(entry, list | tuple) and len(entry) == 2 and looks_like_image(str(entry[0])):
                rows.append({"path": entry[0], "label": entry[1], "split": split})
            elif isinstance(entry, dict):
                rows.append({**entry, "split": split})
            else:
                raise HardenerError(
                    f"{name} lists images of {', '.join(list(found)[:3])}, and no class of {as_text(entry)[:50]}. "
                    'Write each as {"path": "imgs/1.jpg", "label": "cat"}; or, where they lie in class folders, pass '
                    "--data with the folder that holds these and the list."
                )
    return rows


def _of_lists(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return paths and classes of an object that lists the images of each class; nothing where it is another."""
    rows = [(path, key) for key, paths in found.items() if isinstance(paths, list) for path in paths]
    told = [isinstance(path, str) and (looks_like_image(path) or path.startswith(f"{key}/")) for path, key in rows]
    alike = (
        len({column.lower() for column in found} & {"path", "file", "filename", "file_name", "image", "images"}) == 0
    )
    return rows if rows and all(told) and alike and all(isinstance(paths, list) for paths in found.values()) else []


def _of_categories(name: str, found: dict[str, Any]) -> Table:
    """Read COCO's lists where they tell a category an image and no boxes, as iNaturalist's do."""
    try:
        kinds = {item["id"]: str(item["name"]) for item in found["categories"]}
        files = {item["id"]: str(item["file_name"]) for item in found["images"]}
        rows = [(files[item["image_id"]], kinds[item["category_id"]]) for item in found["annotations"]]
    except (KeyError, TypeError) as error:
        raise HardenerError(f"{name} is no list of COCO's that can be read: {type(error).__name__}: {error}.") from None
    return Table(name, {"file_name": [file for file, _ in rows], "category": [kind for _, kind in rows]})


def _of_objects(name: str, found: object) -> Table:
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise HardenerError(
            f'{name} is no list of objects. A row an image is read, such as {{"path": "imgs/1.jpg", "label": "cat"}}.'
        )
    found = [_flat(item) for item in found]
    header = list(dict.fromkeys(key for item in found for key in item))
    return Table(name, {key: [as_text(item.get(key)) for item in found] for key in header})


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object whose own objects are taken apart: {"image": {"path": "1.jpg"}} has the column image.path."""
    parts: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict) and value and not any(isinstance(inner, dict | list) for inner in value.values()):
            parts |= {f"{key}.{inner}": cell for inner, cell in value.items()}
        else:
            parts[key] = value
    return parts


def as_text(value: object) -> str:
    """Return a value as a table of text would hold it; of a list or object its JSON."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
