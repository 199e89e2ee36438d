"""Labelled images that are not read yet: what every source gives, and all that later rooms see of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


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
        paths: a name for each image, unique below `root`; of a file its relative path.
        labels: for each, an index into the list of classes.
        store: what reads them.
    """

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
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

    def pick(self, indices: list[int]) -> ImageFiles:
        """Return the images at these places, in this order."""
        paths, labels = (self.paths[i] for i in indices), (self.labels[i] for i in indices)
        return ImageFiles(self.root, tuple(paths), tuple(labels), self.store)
