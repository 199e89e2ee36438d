"""Labelled images that are not read yet: what every source gives, and all that later rooms see of it."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
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

    def stamps(self, root: Path, paths: Iterable[str]) -> bytes:
        """Return what changes when the bytes of these images do, without reading them; their pixels are kept under it.

        Raises:
            OSError: one is gone.
        """
        ...


class Files:
    """Images that are files below the root."""

    def read(self, root: Path, path: str) -> bytes:
        """Return the file's bytes."""
        return (root / path).read_bytes()

    def stamps(self, root: Path, paths: Iterable[str]) -> bytes:
        """Return sizes and times: the inode's change is one, so a file replaced by its like is noticed too."""
        told = array("q")
        add, ask, start = told.extend, os.stat, f"{root}/"  # a million times: no Path, no text, no look-up
        for path in paths:
            found = ask(start + path)
            add((found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        return told.tobytes()


def stamp_of(path: Path) -> bytes:
    """Return size and times of one file that holds many images.

    Raises:
        OSError: it is gone.
    """
    return Files().stamps(path.parent, [path.name])


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
