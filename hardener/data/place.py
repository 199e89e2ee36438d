"""A folder or an archive, as the readers of layouts and tables see it: files under names with `/` between folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hardener.data.brought import Group
from hardener.data.tree import Tree, walk

LARGEST = 1 << 29  # bytes of one file in an archive: what claims more is no image


class Place(Protocol):
    """Where the files lie. `root` is what messages call it."""

    @property
    def root(self) -> Path: ...

    def files_in(self, folder: str) -> frozenset[str]:
        """Return the names of the files in a folder that lie below the root, links followed."""
        ...

    def read(self, name: str, most: int = LARGEST) -> bytes:
        """Return the first bytes of a file, or all.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def tree(self, ignore: Sequence[str]) -> Tree:
        """List everything, but for what is passed over."""
        ...

    def group(self, base: str, paths: Sequence[str], names: Sequence[str], *, source: str = "") -> Group:
        """Return images as a split.

        Args:
            base: the folder that the paths count from.
            names: of each image's class.
            source: where the split comes from, as the user sees it.
        """
        ...


class Folder:
    """A folder. `files_in` tells only files that truly lie below it: what a table names may not lead elsewhere."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._within = _within(root)
        self._listed: dict[str, frozenset[str]] = {}
        self.walked: Tree | None = None
        self.linked = False  # a link played a part

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def files_in(self, folder: str) -> frozenset[str]:
        """See `Place`."""
        if folder not in self._listed:
            self._listed[folder] = frozenset(self._list(folder))
        return self._listed[folder]

    def read(self, name: str, most: int = LARGEST) -> bytes:
        """See `Place`."""
        with (self._root / name).open("rb") as file:
            return file.read(most)

    def tree(self, ignore: Sequence[str]) -> Tree:
        """See `Place`."""
        self.walked = walk(self._root, ignore)
        return self.walked

    def group(self, base: str, paths: Sequence[str], names: Sequence[str], *, source: str = "") -> Group:
        """See `Place`."""
        return Group(self._root / base, tuple(paths), tuple(names), source=source)

    @property
    def listed(self) -> list[str]:
        """The folders whose files were asked for."""
        return sorted(self._listed)

    def _list(self, folder: str) -> list[str]:
        path = os.path.join(self._root, folder)
        if not self._is_below(path):
            return []
        try:
            with os.scandir(path) as entries:
                return [entry.name for entry in entries if entry.is_file() and self._may_be_read(entry)]
        except OSError:
            return []

    def _may_be_read(self, entry: os.DirEntry[str]) -> bool:
        return not entry.is_symlink() or self._is_below(entry.path)

    def _is_below(self, path: str) -> bool:
        real = os.path.realpath(path)
        self.linked |= real != os.path.normpath(os.path.join(self._within, os.path.relpath(path, self._root)))
        return real == self._within or real.startswith(self._within.rstrip("/") + "/")


def _within(root: Path) -> str:
    """Return what links may lead to: the folder, and for one of the hub's cache the files that it keeps once."""
    own = root.absolute()
    return os.path.realpath(own.parents[1] if own.parent.name == "snapshots" else own)
