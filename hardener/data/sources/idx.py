"""IDX files, as MNIST and its relatives are kept: train-images-idx3-ubyte and the like, packed by gzip or not."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.sources._arrays import class_order, group_of
from hardener.data.split_names import split_of
from hardener.errors import HardenerError

_NAME = re.compile(
    r"(?P<before>.*?)(?P<split>train|t10k|test|val|valid)(?P<between>[-_.]*)images?(?P<after>.*idx3.*)", re.I
)


class Idx:
    """A folder with files of images and of labels, in pairs; or one file of images with its labels beside it."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file, or a folder with one."""
        return any(map(_NAME.fullmatch, [root.name] if root.is_file() else _names(root)))

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each pair of files.

        Raises:
            HardenerError: a file is damaged, or labels are missing.
        """
        folder = root if root.is_dir() else root.parent
        groups: dict[SplitName | None, Group] = {}
        for name in _names(root) if root.is_dir() else [root.name]:
            found = _NAME.fullmatch(name)
            if found is None:
                continue
            split = "test" if found["split"].lower() == "t10k" else split_of(found["split"])
            if split in groups:
                raise HardenerError(
                    f"{root} has several files of {split} images, such as {name}. Pass one by its name."
                )
            images = _read(folder / name, 3)
            labels = _read(_labels_of(folder, name), 1)
            groups[split if root.is_dir() else None] = group_of(folder / name, name, images, labels, None)
        return Brought(groups, classes=class_order(list(groups.values())))


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_file()) if root.is_dir() else []


def _labels_of(folder: Path, name: str) -> Path:
    wanted = re.sub("idx3", "idx1", re.sub(r"images?", "labels", name, flags=re.I), flags=re.I)
    for own in (wanted, wanted.removesuffix(".gz"), f"{wanted}.gz"):
        if (folder / own).is_file():
            return folder / own
    raise HardenerError(f"{folder / name} has no labels beside it: there is no {wanted}.")


def _read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise HardenerError(f"{path} is damaged: {error}.") from None
    head = 4 + 4 * dimensions
    if data[:3] != b"\0\0\x08" or data[3:4] != bytes([dimensions]) or len(data) < head:
        raise HardenerError(f"{path} is no IDX file of bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}.")
    shape = tuple(int(size) for size in np.frombuffer(data[4:head], ">u4"))
    if math.prod(shape) != len(data) - head:
        raise HardenerError(f"{path} is cut or too long: its head tells {shape}, and {len(data) - head} bytes follow.")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
