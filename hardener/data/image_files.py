"""Labelled images that are not read yet: what every source gives, and all that later rooms see of it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hardener.data.names import Names


class Store(Protocol):
    """Where the bytes lie. A source whose images are no files of their own brings another one."""

    def read(self, root: Path, path: str) -> bytes:
        """Return an image file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def stamp(self, root: Path, path: str) -> str:
        """Return what changes when the bytes do, without reading them; decoded images are kept under it.

        Raises:
            OSError: it is gone.
        """
        ...


class Files:
    """Images that are files below the root."""

    def read(self, root: Path, path: str) -> bytes:
        """Return the file's bytes."""
        return (root / path).read_bytes()

    def stamp(self, root: Path, path: str) -> str:
        """Return size and times: the inode's change is one, so a file replaced by its like is noticed too."""
        found = os.stat(f"{root}/{path}")  # of a hundred thousand, a Path each would take half the time
        return f"{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}"


@dataclass(frozen=True)
class ImageFiles:
    """Images of one split.

    Attributes:
        root: where the source lies.
        paths: a name for each image, unique below `root`; of a file its relative path. A tuple, or of many `Names`.
        labels: for each, an index into the list of classes. A tuple, or of many an array.
        store: what reads them.
    """

    root: Path
    paths: Sequence[str]
    labels: Sequence[int]
    store: Store = field(default_factory=Files, compare=False)

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, place: int) -> bytes:
        """Return the bytes of the image at a place.

        Raises:
            OSError: it cannot be read.
        """
        return self.store.read(self.root, self.paths[place])

    def where(self, place: int) -> str:
        """Return what a message calls the image at a place."""
        return str(self.root / self.paths[place])

    def pick(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageFiles:
        """Return the images at these places, in this order."""
        if isinstance(self.paths, Names):
            places = np.asarray(indices, np.int64)
            labels = array("i", np.asarray(self.labels, np.int32)[places].tobytes())
            return ImageFiles(self.root, self.paths.pick(places), labels, self.store)
        paths = tuple(self.paths[place] for place in indices)
        return ImageFiles(self.root, paths, tuple(self.labels[place] for place in indices), self.store)
