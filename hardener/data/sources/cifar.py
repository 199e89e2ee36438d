"""CIFAR-10 and CIFAR-100 in their binary versions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.image_files import Store
from hardener.data.sources._arrays import Rows, group_of
from hardener.data.tables.table import lines_in
from hardener.errors import HardenerError

_PIXELS = 3 * 32 * 32


class Cifar:
    """A folder with data_batch_1.bin and the like, or train.bin and test.bin of CIFAR-100."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a folder."""
        if not root.is_dir():
            return False
        files = {path.name for path in root.iterdir() if path.is_file()}
        return {"data_batch_1.bin"} <= files or {"train.bin", "test.bin"} <= files

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of the training and the test files.

        Raises:
            HardenerError: a file is cut.
        """
        binary = sorted(path for path in root.iterdir() if path.is_file() and path.suffix == ".bin")
        hundred = not any(path.name.startswith("data_batch") for path in binary)
        names = _class_names(root, hundred)
        groups: dict[SplitName | None, Group] = {}
        for path in binary:
            split: SplitName = "test" if path.name.startswith("test") else "train"
            images, labels = _read(path, 2 if hundred else 1)
            found = group_of(path, path.stem, images, labels, names)
            groups[split] = found if split not in groups else _joined(root, groups[split], found)
        return Brought(groups, classes=None if names is None else tuple(names))


class _Parts:
    """Bytes of images in several files, by the first part of their names."""

    form = Rows.form

    def __init__(self, parts: dict[str, Store]) -> None:
        self.parts = parts

    def read(self, root: Path, path: str) -> bytes:
        return self.parts[path.partition("/")[0]].read(root, path)

    def stamps(self, root: Path, paths: Iterable[str]) -> bytes:
        return b"".join(self.parts[name].stamps(root, ()) for name in dict.fromkeys(p.partition("/")[0] for p in paths))


def _joined(root: Path, first: Group, second: Group) -> Group:
    def parts(group: Group) -> dict[str, Store]:
        return group.store.parts if isinstance(group.store, _Parts) else {group.source: group.store}

    store = _Parts({**parts(first), **parts(second)})
    source = f"{first.source}, {second.source}"
    return Group(root, (*first.paths, *second.paths), (*first.names, *second.names), store, source=source)


def _read(path: Path, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(data) or len(data) % (_PIXELS + label_bytes):
        raise HardenerError(f"{path} is cut: its {len(data)} bytes are no whole number of images.")
    rows = data.reshape(-1, _PIXELS + label_bytes)
    return rows[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, label_bytes - 1]


def _class_names(root: Path, hundred: bool) -> list[str] | None:
    path = root / ("fine_label_names.txt" if hundred else "batches.meta.txt")
    if not path.is_file():
        return None
    return [line for line in lines_in(path) if line]
