"""Files beside class folders that tell which images each split has: lists that are called like splits, tables with a
column of splits, JSON by split. What they say, not yet whether they are about these images."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hardener.config.reading import Reading, ignoring
from hardener.data.brought import SplitName
from hardener.data.place import Place
from hardener.data.split_names import own_name, split_in, split_of
from hardener.data.tables.columns import choose, choose_splits
from hardener.data.tables.content import lines_of, looks_like_image
from hardener.data.tables.divisions import is_called_split, tells_splits
from hardener.data.tables.names import NoColumn
from hardener.data.tables.objects import only_list
from hardener.data.tables.table import read_table
from hardener.data.tree import Tree
from hardener.errors import HardenerError

_NAMES, _FLAGS = "images.txt", "train_test_split.txt"
_LISTS, _TABLES = (".txt", ".lst", ".csv", ".tsv", ".json"), (".csv", ".tsv", ".jsonl", ".ndjson")
_METADATA = ("metadata.csv", "metadata.jsonl")
_DEEPEST = 2
_PEEKED = 4096
_MOST = 50
"""Tables in a folder that are looked into."""
_WORD = r"(?:file|image)?(?:lists?|files?|filenames?|names|ids|paths?)"
_NAMED = re.compile(rf"(?:{_WORD}[\W_]+)?(?P<split>.+?)(?:[\W_]*{_WORD})?(?:[\W_]*(?P<number>\d{{1,2}}))?", re.I | re.S)
_HINT = re.compile(r"trn|train|val|te?st|dev|hold|held", re.I)
_SHORT: dict[str, SplitName] = {
    "tr": "train", "va": "validation", "val": "validation", "te": "test", "ts": "test"
}  # fmt: skip
_FOLD = re.compile(r"(?:cv|k?folds?|splits?|runs?|seeds?|trials?)[\W_]*(\d{1,2})(?!\d)", re.I)
_BOTH = re.compile(r"train(?:ing)?[\W_]*(?:and[\W_]*)?val(?:id(?:ation)?)?", re.I)
_FIRST_KEY = re.compile(r'\s*\{\s*"([^"]+)"\s*:\s*[\[{]')


@dataclass(frozen=True)
class Row:
    """A line of a list: what it calls an image, the split, and the file that says so.

    `loose`: the list is one of train and validation together, so another list may say validation.
    """

    line: str
    split: SplitName
    file: str
    loose: bool = False


@dataclass(frozen=True)
class Told:
    """Files that belong together, and their rows; `note`: what is to be said of them."""

    files: Mapping[str, SplitName | None]
    rows: tuple[Row, ...]
    note: str = ""


def told_splits(place: Place, tree: Tree, reading: Reading) -> Iterator[Told]:
    """Yield what may tell splits, the most likely first."""
    folders = {name.rpartition("/")[0] for name in tree.images} - {""}
    beside = [name for name in tree.others if name.count("/") <= _DEEPEST]
    own = {name.rpartition("/")[2]: name for name in beside}
    if _NAMES in own and _FLAGS in own:
        yield _flagged(place, own[_NAMES], own[_FLAGS])
    yield from _by_name(place, [name for name in beside if name.lower().endswith(_LISTS)])
    tables = [
        name
        for name in beside
        if name.rpartition("/")[0] not in folders
        and (name.lower().endswith((".json", *_TABLES)) or _is_text_of_splits(name))
    ]
    counts = Counter(name.rpartition("/")[0] for name in tables)
    for name in tables:
        if counts[name.rpartition("/")[0]] <= _MOST:  # of more, each is about an image
            with contextlib.suppress(HardenerError, OSError):  # a file of something else
                yield from _inside(place, name, reading)


def _is_text_of_splits(name: str) -> bool:
    return name.lower().endswith(".txt") and is_called_split(own_name(name))


def _flagged(place: Place, names: str, flags: str) -> Told:
    """Read CUB's two files: numbers of images, and a 1 for those to train on."""
    by_number = _pairs(place, names)
    rows: list[Row] = []
    for number, flag in _pairs(place, flags).items():
        if number in by_number:
            rows.append(Row(by_number[number], "train" if flag == "1" else "test", flags))
    return Told({names: None, flags: None}, tuple(rows))


def _pairs(place: Place, name: str) -> dict[str, str]:
    cells = [line.split(maxsplit=1) for line in _lines(place, name)]
    return {row[0]: row[1] for row in cells if len(row) == 2}


def _by_name(place: Place, names: list[str]) -> Iterator[Told]:
    """Yield the lists that are called like splits, those of each number by themselves: DTD's ten `train1.txt`."""
    numbered: dict[str, dict[str, SplitName | None]] = defaultdict(dict)
    worded: dict[str, SplitName | None] = {}
    short = {name: _SHORT[own] for name in names if (own := own_name(name).lower()) in _SHORT}
    short = short if "train" in short.values() and len(set(short.values())) > 1 else {}
    for name in names:
        own = own_name(name)
        split, number = (short[name], "") if name in short else _split_and_number(own)
        if split is not None:
            numbered[number or _fold_in(name)][name] = split
        elif _HINT.search(own) and (split := split_in(own)):
            worded[name] = split
    for number, files in sorted(numbered.items(), key=lambda item: (len(item[0]), item[0])):
        way = f"--ignore {shlex.quote(f'*{number}.txt')}"
        if {name for own in numbered.values() for name in own if name.endswith(f"{number}.txt")} != set(files):
            way = ignoring(files)
        more = f", the first of {len(numbered)} such sets; {way} takes the next" if number else ""
        rows = [row for name, split in files.items() if split for row in _listed(place, name, split)]
        yield Told(files, tuple(rows), more if len(numbered) > 1 else "")
    if "train" in worded.values() and len(set(worded.values())) > 1:  # COVID/trainCT_COVID.txt; a train alone is one
        yield Told(worded, tuple(row for name, own in worded.items() if own for row in _listed(place, name, own)))


def _split_and_number(stem: str) -> tuple[SplitName | None, str]:
    """Return the split that a list's name tells, and the number of its set; an empty text where it has none."""
    if not _HINT.search(stem):  # what is there a million times is told apart at once
        return None, ""
    if split_of(stem):
        return split_of(stem), ""
    if fold := _FOLD.search(stem):
        return split_of(f"{stem[: fold.start()]} {stem[fold.end() :]}".strip(" _-.")), fold[1]
    found = _NAMED.fullmatch(stem)
    return (None, "") if found is None else (split_of(found["split"]), str(int(found["number"] or 0) or ""))


def fold_of(stem: str) -> str:
    """Return the number of the fold or set that a list's name tells beside its split; an empty text where none is."""
    number = _split_and_number(stem)[1]
    found = re.search(r"(\d{1,2})(?!.*\d)", stem) if not number and split_in(stem) else None
    return number or ("" if found is None else str(int(found[1])))


def _fold_in(name: str) -> str:
    """Return the number of the fold whose folder a list lies in: `splits/fold_1/train.txt`, `splits/1/train.txt`."""
    folder = name.rpartition("/")[0].rpartition("/")[2]
    found = _FOLD.fullmatch(folder) or re.fullmatch(r"(\d{1,2})", folder)
    return found[1] if found else ""


def _listed(place: Place, name: str, split: SplitName) -> list[Row]:
    loose = split == "train" and _BOTH.search(name.rpartition("/")[2]) is not None
    return [Row(line, split, name, loose) for line in _named(place, name)]


def _named(place: Place, name: str) -> list[str]:
    """Return what a list names: its lines, or a table's column that looks most like names of images."""
    ending = name.lower().rpartition(".")[2]
    if ending not in {"csv", "tsv", "json"}:
        return [line for line in _lines(place, name) if not line.startswith("#")]
    with contextlib.suppress(HardenerError, ValueError, RecursionError):  # a table of something else
        if ending == "json":
            found = only_list(json.loads(place.read(name)))
            paths = [item if isinstance(item, str) else _path_in(item) for item in found or ()]
            return [path for path in paths if path]
        columns = list(read_table(name, place.read(name)).columns.values())
        likely = [cells for cells in columns if sum(map(looks_like_image, cells)) * 2 > len(cells)]
        named = likely or [cells for cells in columns if all("/" in cell for cell in cells)] or columns[:1]
        return named[0] if named else []
    return []


def _lines(place: Place, name: str) -> list[str]:
    lines = lines_of(place.read(name).decode("utf-8-sig", "replace"))
    return [line.strip() for line in lines if line.strip()]


def _inside(place: Place, name: str, reading: Reading) -> Iterator[Told]:
    """Yield what a table's column of splits tells, or lists by split in one JSON file.

    Raises:
        HardenerError: it is no table of images.
    """
    start = place.read(name, _PEEKED).decode("utf-8-sig", "replace")
    if name.lower().endswith(".json"):
        key = _FIRST_KEY.match(start)
        if key is not None and split_of(key[1]):
            yield _by_key(place, name)
    elif is_called_split(own_name(name)) or tells_splits(re.split(r"[,;\t|{}:]", start.partition("\n")[0])):
        table = read_table(f"{place.root}/{name}", place.read(name))
        if name.rpartition("/")[2].lower() in _METADATA:
            with contextlib.suppress(NoColumn):
                choose(table, reading)
                return  # it tells classes too, and is read as a whole
        told = choose_splits(table, Reading(split_column=reading.split_column))
        if told is not None:
            rows = [Row(path, split, name) for path, split in zip(*told, strict=True) if split is not None]
            yield Told({name: None}, tuple(rows))


def _by_key(place: Place, name: str) -> Told:
    try:
        found = json.loads(place.read(name))
    except (ValueError, RecursionError):
        return Told({}, ())
    rows = []
    for key, lines in found.items():
        split = split_of(key)
        for line in lines if split and isinstance(lines, list) else ():
            path = line if isinstance(line, str) else _path_in(line)
            rows += [Row(path, split, name, _BOTH.search(key) is not None)] if split and path else []
    return Told({name: None}, tuple(rows))


def _path_in(entry: object) -> str | None:
    """Return what of an entry names an image: {"path": "cat/1.png", "label": 0}."""
    cells = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return next((cell for cell in cells if isinstance(cell, str) and looks_like_image(cell)), None)
