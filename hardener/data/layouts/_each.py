"""A JSON file for each image, as programs for labelling write them: `1.json`, or `ann/1.jpg.json`, of `1.jpg`."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import filterfalse
from typing import Any

from hardener.config.reading import Reading
from hardener.data.ambiguity import some
from hardener.data.place import Place
from hardener.data.split_names import own_name, says_nothing, words_of
from hardener.data.tables.columns import choose, tells_classes
from hardener.data.tables.content import Table, as_text
from hardener.data.tree import Tree
from hardener.errors import HardenerError

_NEARLY = 0.9
"""The share of the images that have such a file."""
_OF_IMAGES = {"label", "labels", "class", "classes", "tag", "tags", "target", "flags"}
"""Words for the class of an image; `category` may be a site's, `shapes.label` that of a part."""
_LARGEST = 1 << 24
_TRIED = 200


def files_of_each(tree: Tree) -> dict[str, str]:
    """Return the JSON file of each image; nothing where many have none."""
    files = [name for name in tree.others if name.lower().endswith(".json")]
    if len(files) < _NEARLY * len(tree.images):
        return {}
    called: dict[str, list[str]] = defaultdict(list)
    for name in files:
        called[own_name(name)].append(name)
    found = {}
    for image in tree.images:
        ways = [*called.get(image.rpartition("/")[2], ()), *called.get(own_name(image), ())]
        if ways:
            found[image] = max(ways, key=lambda name: _shared(name, image))
    return found if len(found) >= _NEARLY * len(tree.images) and len(set(found.values())) == len(found) else {}


def table_of_each(place: Place, files: Mapping[str, str]) -> Table | None:
    """Return what the files of images tell as a table with a row an image; None where one is no JSON object.

    Args:
        files: image -> its file.
    """
    rows: list[dict[str, str]] = []
    for image, name in files.items():
        try:
            told = json.loads(place.read(name, _LARGEST))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(told, dict):
            return None
        rows.append({"path": image, **dict(_parts(told))})
    header = dict.fromkeys(key for row in rows for key in row)
    columns = {key: [row.get(key, "") for row in rows] for key in header}
    return Table(f"{place.root}/{next(iter(files.values()))}", columns) if rows else None


def classes_of_each(table: Table, reading: Reading) -> dict[str, str]:
    """Return the class that such files tell of each image; nothing where they tell no two, or none that is known.

    What nothing calls a class is none: a device, a licence, a caption.
    """
    try:
        labels = choose(table, reading.model_copy(update={"path_column": "path"})).labels
    except HardenerError:
        return {}
    marks = table.columns.keys() >= set(labels) - {""}
    if reading.label_column is None and not marks and not any(map(tells_classes, table.columns)):
        return {}
    told = {image: label for image, label in zip(table.columns["path"], labels, strict=True) if label}
    return told if 2 <= len(set(told.values())) <= max(2, len(told) // 2) else {}


def doubts_about_each(place: Place, tree: Tree, classes: Mapping[str, str], reading: Reading) -> list[str]:
    """See that such files tell no other classes of images than their folders do: `ds0/img/1.jpg`, tagged a cat.

    Args:
        classes: image -> its class by its folder.
    Raises:
        HardenerError: they do, and call them the image's class; what they tell otherwise may be of something in it.
    """
    files = [(image, name) for image, name in files_of_each(tree).items() if image in classes]
    table = table_of_each(place, dict(files[:: max(1, len(files) // _TRIED)])) if files else None
    told = {} if table is None else classes_of_each(table, reading)
    pairs = {(classes[image], label) for image, label in told.items()}
    folders, labels = ({pair[place] for pair in pairs} for place in (0, 1))
    if table is None or not pairs or len(pairs) == len(folders) == len(labels):
        return []
    column = _column_of(table, told)
    start = (
        f"a file for each image, such as {place.root}/{files[0][1]}, tells other classes than their folders do: "
        f"{len(labels)} ({some(labels)}) in {len(folders)} folder{'s' if len(folders) > 1 else ''} ({some(folders)})"
    )
    nothing = "--ignore '*.json' says that nothing is told there"
    if column is None:  # marks, of the weather say
        way = "to take theirs, write a CSV file with a column path and a column label, and pass that as --data"
        return [f"{start}, and is not used: {way}; {nothing}"]
    take = f"--data {shlex.quote(str(place.root))} --label-column {shlex.quote(column)}"
    if not _is_of_images(column):
        return [f"{start}, and is not used: {take} takes theirs; {nothing}"]
    raise HardenerError(f"{start}. Take theirs by {take}, or the folders by --ignore '*.json'.")


def tell_less_than_folders(table: Table, told: Mapping[str, str]) -> bool:
    """Tell whether images lie in several folders that are likelier classes than what files tell: `cat/img/1.jpg`.

    `ds0/img/1.jpg` and `ds1/img/2.jpg` do not, where the files call what they tell the image's class.

    Args:
        told: image -> its class by its file.
    """
    folders = {next(filterfalse(says_nothing, reversed(image.split("/")[:-1])), "") for image in told}
    column = _column_of(table, told)
    sure = (column is None or _is_of_images(column)) and all(re.search(r"\d", name) for name in folders)
    return len(folders) > 1 and not sure


def _column_of(table: Table, told: Mapping[str, str]) -> str | None:
    """Return the column that tells classes; None where several do, by marks."""
    cells = [told.get(image, "") for image in table.columns["path"]]
    return next((name for name, own in table.columns.items() if own == cells), None)


def _is_of_images(column: str) -> bool:
    return not _OF_IMAGES.isdisjoint(word.lower() for word in words_of(column.partition(".")[0]))


def _shared(name: str, image: str) -> int:
    """Return how many folders two files have in common, from the root down."""
    pairs = zip(name.split("/")[:-1], image.split("/")[:-1], strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(name.count("/"), 9))


def _parts(told: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and texts of what an object holds: of marks the bare name, of a list of one thing what that is."""
    marks = all(isinstance(value, bool) for value in told.values())
    for key, value in told.items():
        name = key if marks or not start else f"{start}.{key}"
        only = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(only, dict):
            yield from _parts(only, name)
        elif not isinstance(only, list) and not key.startswith("__"):  # several tags, or LabelMe's own
            yield name, as_text(only)
