"""Parquet: a file, or shards as the HuggingFace hub holds them, with images in a column or paths of images."""

from __future__ import annotations

import bisect
import shlex
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.shards import ShardStore, shards, shards_to_read
from hardener.data.sources._arrow import Shard, arrow, bring_arrow, bytes_of
from hardener.data.split_names import split_of
from hardener.errors import HardenerError
from hardener.words import one_line

_ENDINGS = (".parquet",)
_KEPT = 1 << 28  # bytes of row groups that are kept unpacked


class Parquet:
    """One file, or a folder of shards such as data/train-00000-of-00002.parquet or default/train/0000.parquet."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file, or a folder of them."""
        return root.name.lower().endswith(_ENDINGS) if root.is_file() else bool(shards(root, _ENDINGS))

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each split.

        Raises:
            HardenerError: pyarrow is not installed; a file cannot be read; several data sets; else see `bring`.
        """
        base, names = (root.parent, [root.name]) if root.is_file() else (root, shards(root, _ENDINGS))
        names, said = shards_to_read(root, names, reading.ignore)
        _refuse_several(root, names)
        found = {name: _shard(base / name) for name in names}
        brought = bring_arrow(base, found, lambda image: _Groups(base, list(found), image), reading)
        return replace(brought, doubts=(*brought.doubts, *said))


def _shard(path: Path) -> Shard:
    library = arrow(".parquet", path)

    @contextmanager
    def opened() -> Iterator[Any]:
        try:
            with library.ParquetFile(path) as file:
                yield file
        except (OSError, ValueError) as error:
            told = one_line(str(error).partition("\n")[0]).rstrip(".")
            raise HardenerError(f"{path} is no parquet file that can be read: {told}.") from None

    with opened() as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    if not rows:
        raise HardenerError(f"{path} has no rows. Take it away, or write a row an image.")

    def columns(names: list[str]) -> Any:
        with opened() as file:
            return file.read(columns=names)

    def first(name: str) -> Any:
        with opened() as file:
            return next(file.iter_batches(batch_size=1, columns=[name])).column(0)[0].as_py()

    return Shard(schema, columns, first)


class _Groups(ShardStore):
    """Bytes of images in parquet files. The row groups that were asked for last are kept: images are read in order."""

    def __init__(self, root: Path, names: list[str], image: str) -> None:
        self._root, self._image = root, image
        self._library = arrow(".parquet", root)
        self._starts: dict[str, list[int]] = {}
        for name in names:
            with self._library.ParquetFile(root / name) as file:
                sizes = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
            self._starts[name] = [sum(sizes[:place]) for place in range(len(sizes))]
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def image(self, shard: str, name: str) -> bytes:
        """Return the bytes of an image."""
        row = int(name)
        place = bisect.bisect_right(self._starts[shard], row) - 1
        return bytes_of(self._group(shard, place)[row - self._starts[shard][place]])

    def _group(self, shard: str, place: int) -> Any:
        key = (shard, place)
        with self._lock:
            if key not in self._kept:
                try:
                    with self._library.ParquetFile(self._root / shard) as file:
                        self._kept[key] = file.read_row_group(place, columns=[self._image]).column(0)
                except ValueError as error:
                    raise OSError(f"it is damaged in {shard}: {error}") from None
                while len(self._kept) > 2 and sum(group.nbytes for group in self._kept.values()) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _refuse_several(root: Path, names: list[str]) -> None:
    """See that shards are those of one data set.

    Raises:
        HardenerError: they lie in several folders that are no splits.
    """
    folders = sorted({"/".join(part for part in name.split("/")[:-1] if not split_of(part)) for name in names})
    if len(folders) > 1:
        told = [folder or "." for folder in folders]
        raise HardenerError(
            f"{root} holds several data sets, in {', '.join(told[:5])}. Pass one: --data "
            f"{shlex.quote(f'{root}/{folders[-1]}')}."
        )
