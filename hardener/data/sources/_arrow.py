"""Arrow's tables of images, of parquet files and of HuggingFace's saved data sets alike."""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.index import Seen, indexed
from hardener.data.place import Folder
from hardener.data.shards import Inside, ShardStore, split_sheets
from hardener.data.tables.content import Table, as_text
from hardener.data.tables.rows import bring
from hardener.errors import HardenerError

_KNOWN = ("image", "img", "pixel_values", "picture", "photo", "jpg", "png", "bytes", "data")


@dataclass(frozen=True)
class Shard:
    """A shard: its schema, what returns some of its columns, and what returns the first cell of one."""

    schema: Any
    columns: Callable[[list[str]], Any]
    first: Callable[[str], Any]


def bring_arrow(
    root: Path, shards: Mapping[str, Shard], store: Callable[[str], ShardStore], reading: Reading
) -> Brought:
    """Return the images in shards, or those that shards name.

    Args:
        store: makes what reads the images of a column.
    Raises:
        HardenerError: see `bring`.
    """
    first = next(iter(shards))
    image = image_column(shards[first].schema, root / first, reading)
    if image is None:
        return bring_paths(root, shards, None, reading)
    cell = shards[first].first(image)
    if isinstance(cell, dict) and not cell.get("bytes") and cell.get("path"):
        return bring_paths(root, shards, image, reading)

    def look() -> tuple[Brought, Seen]:
        return bring_shards(root, shards, store(image), image, reading), Seen(root, files=list(shards))

    return indexed(root, "\n".join(["shards", image, *shards]), reading, look, store=lambda below: store(image))


def arrow(part: str, path: Path) -> Any:
    """Import a part of pyarrow.

    Raises:
        HardenerError: it is not installed.
    """
    try:
        return importlib.import_module(f"pyarrow{part}")
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("pyarrow"):
            raise
        raise HardenerError(f"{path} is read by pyarrow. Install it: pip install 'hardener[parquet]'.") from None


def image_column(schema: Any, path: Path, reading: Reading) -> str | None:
    """Return the column that holds the bytes of images; None where paths name them.

    Raises:
        HardenerError: several do.
    """
    types = importlib.import_module("pyarrow.types")
    features = _features(schema)
    found = [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
    if not found:
        found = [field.name for field in schema if _holds_bytes(field.type, types)]
    if reading.path_column is not None:
        return reading.path_column if reading.path_column in found else None
    named = [name for name in _KNOWN if name in found]
    if len(found) > 1 and not named:
        raise HardenerError(
            f"{path} has several columns of images: {', '.join(found)}. Name one: --path-column "
            f"{shlex.quote(found[0])}."
        )
    return (named or found or [None])[0]


def bring_shards(root: Path, shards: Mapping[str, Shard], store: ShardStore, image: str, reading: Reading) -> Brought:
    """Return the images in shards.

    Args:
        image: the column that holds them.
        store: reads them, under the number of their row.
    Raises:
        HardenerError: see `bring`.
    """
    tables = {}
    names: tuple[str, ...] | None = None
    for name, shard in shards.items():
        table, classes = _table(f"{root}/{name}", name, shard, image, reading)
        names = names or classes
        tables[name] = table
    asked = reading.model_copy(update={"path_column": image})
    paths = (path for table in tables.values() for path in table.columns[image])
    brought = bring(split_sheets(tables), Inside(root, paths, store), asked)
    known = {label for group in brought.splits.values() for label in group.classes}
    order = None if names is None else tuple(name for name in names if name in known)
    return replace(
        brought, notes=_said_once(brought.notes), classes=order if order and set(order) == known else brought.classes
    )


def _said_once(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Say of one shard what would be said of each."""
    seen: dict[str, str] = {}
    for note in notes:
        seen.setdefault(note.partition(": ")[2], note)
    return tuple(seen.values())


def bring_paths(root: Path, shards: Mapping[str, Shard], image: str | None, reading: Reading) -> Brought:
    """Return the images that shards name by their paths.

    Args:
        image: the column of image structs whose paths count; None where it is one of text.
    Raises:
        HardenerError: see `bring`.
    """
    tables = {}
    for name, shard in shards.items():
        plain = _plain_columns(shard.schema)
        found = shard.columns([*plain, *([image] if image else [])])
        cells = {column: [as_text(cell) for cell in found[column].to_pylist()] for column in plain}
        if image is not None:
            cells[image] = [as_text((cell or {}).get("path")) for cell in found[image].to_pylist()]
        labelled = _classes_of(shard.schema)
        for column in labelled.keys() & cells.keys():
            cells[column] = [_named(labelled[column], int(cell) if cell else None) for cell in cells[column]]
        tables[name] = Table(f"{root}/{name}", cells)
    base = Path(reading.images_root) if reading.images_root and Path(reading.images_root).is_dir() else root
    asked = reading if image is None else reading.model_copy(update={"path_column": image})
    return bring(split_sheets(tables), Folder(base), asked)


def _table(shown: str, name: str, shard: Shard, image: str, reading: Reading) -> tuple[Table, tuple[str, ...] | None]:
    """Return a shard's columns but for the bytes, and the names of its classes where the schema has them."""
    plain = [column for column in _plain_columns(shard.schema) if column != image]
    labelled = _classes_of(shard.schema)
    found = shard.columns(plain)
    columns = {image: [f"{name}/{row:07}" for row in range(found.num_rows)]}
    for column in plain:
        cells = found[column].to_pylist()
        names = labelled.get(column)
        columns[column] = [as_text(cell) if names is None else _named(names, cell) for cell in cells]
    chosen = reading.label_column or next(iter(labelled), None)
    return Table(shown, columns), tuple(labelled[chosen]) if chosen in labelled else None


def _classes_of(schema: Any) -> dict[str, list[str]]:
    """Return the names of the classes that HuggingFace's library wrote, of each column that has them."""
    features = _features(schema).items()
    return {column: feature["names"] for column, feature in features if feature.get("_type") == "ClassLabel"}


def _named(names: list[str], cell: object) -> str:
    return names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else ""  # -1 stands for a class untold


def _plain_columns(schema: Any) -> list[str]:
    types = importlib.import_module("pyarrow.types")
    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    return [
        field.name
        for field in schema
        if any(test(field.type.value_type if types.is_dictionary(field.type) else field.type) for test in tests)
    ]


def _holds_bytes(kind: Any, types: Any) -> bool:
    if types.is_struct(kind):
        inner = [kind.field(place) for place in range(kind.num_fields)]
        return any(field.name == "bytes" or _holds_bytes(field.type, types) for field in inner)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """Return what HuggingFace's library wrote of each column."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {name: feature for name, feature in found.items() if isinstance(feature, dict)}


def bytes_of(cell: Any) -> bytes:
    """Return the bytes of a cell: binary, or a struct with a field of bytes.

    Raises:
        OSError: there are none.
    """
    value = cell.as_py()
    if isinstance(value, dict):
        value = value.get("bytes") or next((own for own in value.values() if isinstance(own, bytes)), None)
    if not isinstance(value, bytes) or not value:
        raise OSError("the row holds no image")
    return value
