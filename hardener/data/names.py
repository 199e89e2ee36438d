"""A long list of names in one block of bytes: a million of them take what they are long, and no Python object each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

MANY = 20_000
"""From so many on, lists are kept this way."""
_CHUNK = 65_536
_END = 10  # a line feed stands behind each name; those that hold one themselves are told by where they end


class Names(Sequence[str]):
    """Names that are not changed any more.

    Args:
        block: the names in UTF-8, a line feed behind each.
        ends: (N,), where each name's line feed stands.
    """

    def __init__(self, block: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.block, self.ends = block, ends

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Return these names."""
        if isinstance(names, Names):
            return names
        blocks, ends, start = [], [], 0
        listed = list(names)
        for place in range(0, len(listed), _CHUNK):
            some = listed[place : place + _CHUNK]
            text = np.frombuffer("".join(f"{name}\n" for name in some).encode("utf-8", "surrogateescape"), np.uint8)
            found = np.flatnonzero(text == _END)
            if len(found) != len(some):
                sizes = [len(name.encode("utf-8", "surrogateescape")) + 1 for name in some]
                found = np.cumsum(sizes, dtype=np.int64) - 1
            blocks.append(text)
            ends.append(found + start)
            start += len(text)
        if not blocks:
            return cls(np.zeros(0, np.uint8), np.zeros(0, np.int64))
        return cls(np.concatenate(blocks), np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Names: ...

    def __getitem__(self, place: int | slice) -> str | Names:
        """Return the name at a place, or those of a slice."""
        if isinstance(place, slice):
            first, behind, step = place.indices(len(self))
            if step != 1 or first >= behind:
                return self.pick(np.arange(len(self))[place])
            start, ends = self._start(first), self.ends[first:behind]
            return Names(self.block[start : int(ends[-1]) + 1], ends - start)
        at = range(len(self))[place]
        return self.block[self._start(at) : int(self.ends[at])].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        """Yield each name."""
        for first in range(0, len(self), _CHUNK):
            ends = self.ends[first : first + _CHUNK]
            text = self.block[self._start(first) : int(ends[-1])].tobytes().decode("utf-8", "surrogateescape")
            parts = text.split("\n")
            yield from parts if len(parts) == len(ends) else (self[place] for place in range(first, first + len(ends)))

    def __eq__(self, other: object) -> bool:
        """Tell whether another list holds the same names in the same order."""
        if isinstance(other, Names):
            return np.array_equal(self.block, other.block) and np.array_equal(self.ends, other.ends)
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def pick(self, places: NDArray[Any]) -> Names:
        """Return the names at these places, in this order."""
        if len(places) and np.all(places[1:] > places[:-1]):
            return self._thinned(places)
        starts = np.concatenate([[0], self.ends[:-1] + 1])[places] if len(self) else np.zeros(0, np.int64)
        sizes = self.ends[places] + 1 - starts
        ends = np.cumsum(sizes)
        block = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
        for first in range(0, len(places), _CHUNK):
            own = slice(first, first + _CHUNK)
            before = int(ends[first - 1]) if first else 0
            within = np.arange(int(ends[own][-1]) - before) - np.repeat(ends[own] - sizes[own] - before, sizes[own])
            block[before : int(ends[own][-1])] = self.block[np.repeat(starts[own], sizes[own]) + within]
        return Names(block, ends - 1)

    def _thinned(self, places: NDArray[Any]) -> Names:
        """Return the names at ascending places: what lies between is left out, chunk by chunk."""
        kept = np.zeros(len(self), np.bool_)
        kept[places] = True
        sizes = np.diff(self.ends, prepend=-1)
        ends = np.cumsum(sizes[kept])
        block, filled = np.empty(int(ends[-1]), np.uint8), 0
        for first in range(0, len(self), _CHUNK):
            own = slice(first, first + _CHUNK)
            text = self.block[self._start(first) : int(self.ends[own][-1]) + 1]
            found = text[np.repeat(kept[own], sizes[own])]
            block[filled : filled + len(found)] = found
            filled += len(found)
        return Names(block, ends - 1)

    def _start(self, place: int) -> int:
        return int(self.ends[place - 1]) + 1 if place else 0


def digest_of(names: Sequence[str]) -> str:
    """Return the sha256 over names, a line feed between them."""
    if isinstance(names, Names):
        return hashlib.sha256(names.block[:-1].tobytes() if len(names) else b"").hexdigest()
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
