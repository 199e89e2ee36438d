"""LMDB: a database of image files, as LSUN's are, or of Caffe's Datum -> class folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from hardener.config.wire import fields
from hardener.data.brought import SplitName
from hardener.data.conversions._made import Made, as_png, ending_of, library
from hardener.data.file_kind import kind_of_bytes
from hardener.data.split_names import split_of
from hardener.errors import HardenerError


class Lmdb:
    """A folder with data.mdb, or such a file."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a database, or a folder that holds some."""
        return bool(_databases(root))

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made]:
        """Yield each value. A Datum tells its class; of image files the database's folder is the class. Of several
        databases the names tell the splits: mnist_train_lmdb, bedroom_val_lmdb.

        Raises:
            HardenerError: lmdb is not installed, or a value is neither.
        """
        reader = library("lmdb", root)
        for home in _databases(root):
            try:
                database = reader.open(
                    str(home), readonly=True, lock=False, readahead=False, subdir=home.is_dir(), max_readers=1
                )
            except reader.Error as error:
                raise HardenerError(f"{home} is no LMDB that can be read: {error}.") from None
            with database, database.begin() as transaction:
                for key, value in transaction.cursor():
                    made = _made(home, bytes(key), bytes(value))
                    yield made if home != root else replace(made, split=None)


def _databases(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix in {".mdb", ".lmdb"} else []
    if (root / "data.mdb").is_file():
        return [root]
    try:
        return sorted(path.parent for path in root.glob("*_lmdb/data.mdb"))
    except OSError:
        return []


def _told(home: Path) -> tuple[SplitName | None, str]:
    """Return the split that a database's name tells, and what else it says: the class, where it holds image files."""
    words = _own(home).split("_")
    told = next((word for word in reversed(words) if split_of(word)), None)
    return (None, _own(home)) if told is None else (split_of(told), "_".join(word for word in words if word != told))


def _own(home: Path) -> str:
    return home.name.removesuffix("_lmdb")


def _made(home: Path, key: bytes, value: bytes) -> Made:
    name, where = key.decode("utf-8", "replace"), f"{key!r} of {home}"
    split, kind = _told(home)
    if kind_of_bytes(value) == "image":
        return Made(split if kind else None, kind or _own(home), name, ending_of(value, where), value)
    try:
        parts = dict(fields(value))
        pixels, label = parts.get(4, b""), parts.get(5, 0)
        if isinstance(pixels, bytes) and pixels and isinstance(label, int):
            if kind_of_bytes(pixels) == "image":
                return Made(split, str(label), name, ending_of(pixels, where), pixels)
            shape = tuple(int(parts[field]) for field in (1, 2, 3))
            array = np.frombuffer(pixels, np.uint8).reshape(shape)
            image = Image.fromarray(array[0] if shape[0] == 1 else array[::-1].transpose(1, 2, 0).copy())  # Caffe: BGR
            return Made(split, str(label), name, ".png", as_png(image))
    except (ValueError, KeyError, TypeError):
        pass
    raise HardenerError(
        f"{where} is neither an image file nor a Datum of Caffe's. Write its images as files with the program that "
        "wrote it, each class in a folder of its own."
    )
