"""A JSON file for each image, as programs for labelling write them: `1.json`, or `ann/1.jpg.json`, of `1.jpg`."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from hardener.config.reading import Reading
from hardener.data.ambiguity import some
from hardener.data.place import Place
from hardener.data.split_names import own_name
from hardener.data.tables.columns import choose
from hardener.data.tables.table import Table, as_text
from hardener.data.tree import Tree
from hardener.errors import HardenerError

_NEARLY = 0.9
"""The share of the images that have such a file."""
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
    """Return the class that such files tell of each image; nothing where they tell no two, or none that is known."""
    try:
        labels = choose(table, reading.model_copy(update={"path_column": "path"})).labels
    except HardenerError:
        return {}
    told = {image: label for image, label in zip(table.columns["path"], labels, strict=True) if label}
    return told if 2 <= len(set(told.values())) <= max(2, len(told) // 2) else {}


def refuse_other_classes(place: Place, tree: Tree, classes: Mapping[str, str], reading: Reading) -> None:
    """See that such files tell no other classes of images than their folders do: `ds0/img/1.jpg`, tagged a cat.

    Args:
        classes: image -> its class by its folder.
    Raises:
        HardenerError: they do.
    """
    files = [(image, name) for image, name in files_of_each(tree).items() if image in classes]
    table = table_of_each(place, dict(files[:: max(1, len(files) // _TRIED)])) if files else None
    told = {} if table is None else classes_of_each(table, reading)
    pairs = {(classes[image], label) for image, label in told.items()}
    folders, labels = ({pair[place] for pair in pairs} for place in (0, 1))
    if table is None or not pairs or len(pairs) == len(folders) == len(labels):
        return
    cells = [told.get(image, "") for image in table.columns["path"]]
    column = next((name for name, own in table.columns.items() if own == cells), None)
    way = (
        f"Take theirs by --data {shlex.quote(str(place.root))} --label-column {shlex.quote(column)}, or the folders"
        if column is not None
        else "Write theirs into a CSV file, with a column path and a column label; or take the folders"
    )
    raise HardenerError(
        f"a file for each image, such as {place.root}/{files[0][1]}, tells other classes than their folders do: "
        f"{len(labels)} ({some(labels)}) in {len(folders)} folder{'s' if len(folders) > 1 else ''} ({some(folders)}). "
        f"{way} by --ignore '*.json'."
    )


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
