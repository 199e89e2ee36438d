"""HuggingFace's `save_to_disk`: Arrow files of rows, a folder for each split; and the Arrow files of its cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.shards import ShardStore, shards, shards_to_read
from hardener.data.sources._arrow import Shard, arrow, bring_arrow, bytes_of
from hardener.errors import HardenerError

_ENDINGS = (".arrow",)


class SavedDataset:
    """A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote. Rows are read where they lie."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a folder, or one of its files."""
        return root.name.endswith(_ENDINGS) if root.is_file() else bool(shards(root, _ENDINGS))

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each split.

        Raises:
            HardenerError: pyarrow is not installed; a file cannot be read; else see `bring`.
        """
        base, names = (root.parent, [root.name]) if root.is_file() else (root, shards(root, _ENDINGS))
        names = [name for name in names if not name.rpartition("/")[2].startswith(("cache-", "tmp"))] or names
        names, said = shards_to_read(root, names, reading.ignore)
        tables = {name: _table(base / name) for name in names}
        found = {name: _shard(table) for name, table in tables.items() if table.num_rows}
        if not found:
            raise HardenerError(f"{root} has no rows. Save the data set again, with rows.")
        brought = bring_arrow(base, found, lambda image: _Mapped(base, tables, image), reading)
        return replace(brought, doubts=(*brought.doubts, *said))


def _table(path: Path) -> Any:
    """Return the rows of a file, mapped into memory and not read."""
    library = arrow("", path)
    ipc = arrow(".ipc", path)
    try:
        file = library.memory_map(str(path))
        try:
            return ipc.open_stream(file).read_all()
        except ValueError:
            return ipc.open_file(library.memory_map(str(path))).read_all()
    except (OSError, ValueError) as error:
        raise HardenerError(f"{path} is no Arrow file that can be read: {error}.") from None


def _shard(table: Any) -> Shard:
    return Shard(table.schema, table.select, lambda name: table[name][0].as_py())


class _Mapped(ShardStore):
    """Bytes of images in Arrow files."""

    def __init__(self, root: Path, tables: dict[str, Any], image: str) -> None:
        self._root = root
        self._columns = {name: table[image] for name, table in tables.items() if table.num_rows}

    def image(self, shard: str, name: str) -> bytes:
        """Return the bytes of an image."""
        return bytes_of(self._columns[shard][int(name)])
