"""Files beside a table that name the classes that it numbers: `classes.txt`, `label_map.json`, `.pbtxt`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hardener.data.brought import Brought
from hardener.data.place import Place
from hardener.data.split_names import words_of
from hardener.data.tables.content import lines_of

_ENDINGS = (".txt", ".names", ".json", ".csv", ".tsv", ".pbtxt", ".yaml", ".yml")
_CLASS = {
    "class", "classes", "label", "labels", "category", "categories", "names", "name", "klasse", "klassen", "clases",
    "classi", "kategorien",
}  # fmt: skip
_MAP = {"map", "mapping", "names", "name", "idx", "index", "id", "ids", "to", "list", "dict", "dictionary"}
_LARGEST, _SHOWN = 1 << 20, 5
_ITEM = re.compile(r"\bid\s*:\s*(\d+)|\b(display_name|name)\s*:\s*[\"']([^\"'\n]+)[\"']")
_PAIR = re.compile(r"\s*[\"']?(\d+)[\"']?\s*(?:[:=,;\t ]\s*)+[\"']?(.+?)[\"']?\s*,?\s*")
_TURNED = re.compile(r"\s*[\"']?(.+?)[\"']?\s*(?:[:=,;\t ]\s*)+(\d+)\s*,?\s*")


def with_names_told(
    brought: Brought, place: Place, files: Iterable[str], how: str = "write them into the table"
) -> Brought:
    """Say what a file beside calls classes that are numbers. These stay: a test in another folder has no such file.

    Args:
        files: that may name them, by their names from the place.
        how: the user gets names.
    """
    numbers = sorted({name for group in brought.splits.values() for name in group.classes})
    if not numbers or not all(name.isdecimal() for name in numbers):
        return brought
    numbers.sort(key=int)
    for file in sorted(files):
        if not is_called_after_classes(file):
            continue
        try:
            text = place.read(file, _LARGEST).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
        found = _named(file, text, [int(number) for number in numbers])
        if not all(int(number) in found for number in numbers):
            continue
        shown = ", ".join(f"{number} {found[int(number)]}" for number in numbers[:_SHOWN])
        more = ", …" if len(numbers) > _SHOWN else ""
        note = (
            f"the classes are called by their numbers; {file} seems to name them: {shown}{more}. To see names instead, "
            f"{how}"
        )
        return replace(brought, notes=(*brought.notes, note))
    return brought


def is_called_after_classes(name: str) -> bool:
    """Tell whether a file is called as one of the names of classes: `classes.txt`, `label_map.pbtxt`, `idx_to_name`."""
    own = name.rpartition("/")[2]
    words = {word.lower() for word in words_of(own.rpartition(".")[0])}
    if not own.lower().endswith(_ENDINGS) or words & {"train", "test", "val", "image", "images"}:
        return False
    return words <= _CLASS | _MAP and bool(words & _CLASS)


def _named(file: str, text: str, numbers: Sequence[int]) -> dict[int, str]:
    """Return the name of each number; nothing where the file tells other things, or where it is not clear."""
    ending = file.lower().rpartition(".")[2]
    if ending == "json":
        return _of_json(text, numbers)
    if ending == "pbtxt":
        return _of_items(text)
    lines = [line.strip() for line in lines_of(text) if line.strip() and not line.strip().startswith("#")]
    if ending in {"yaml", "yml"}:
        lines = [line.removeprefix("- ") for line in lines if not line.endswith(":")]
    body = lines[1:] if lines and not re.search(r"\d", lines[0]) else lines
    for pattern, number, name in ((_PAIR, 1, 2), (_TURNED, 2, 1)):
        pairs = [pattern.fullmatch(line) for line in body]
        told = {int(pair[number]): pair[name] for pair in pairs if pair is not None}
        if pairs and len(told) == len(pairs):
            return told
    return _in_order(lines, numbers)


def _of_json(text: str, numbers: Sequence[int]) -> dict[int, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, dict) and len(found) == 1 and isinstance(next(iter(found.values())), dict | list):
        found = next(iter(found.values()))
    if isinstance(found, list):
        return _in_order([item for item in found if isinstance(item, str)], numbers)
    if not isinstance(found, dict):
        return {}
    pairs = [(str(key), value) for key, value in found.items()]
    if all(key.isdecimal() and isinstance(value, str) for key, value in pairs):
        return {int(key): value for key, value in pairs}
    if all(str(value).isdecimal() for _, value in pairs):
        return {int(value): key for key, value in pairs}
    return {}


def _of_items(text: str) -> dict[int, str]:
    """Read TensorFlow's `item { id: 1 name: 'cat' }`; what is shown counts more than the name."""
    found: dict[int, str] = {}
    for item in text.split("item")[1:]:
        parts = list(_ITEM.finditer(item))
        number = next((int(part[1]) for part in parts if part[1]), None)
        names = {part[2]: part[3] for part in parts if part[2]}
        if number is not None and names:
            found[number] = names.get("display_name", names.get("name", ""))
    return found


def _in_order(names: Sequence[str], numbers: Sequence[int]) -> dict[int, str]:
    """Number names by their order, from 0 or 1, where all of them have images: else either may be meant."""
    start = min(numbers)
    fits = start in (0, 1) and max(numbers) - start + 1 == len(names) == len(set(numbers))
    return dict(enumerate(names, start)) if fits else {}
