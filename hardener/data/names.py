"""A long list of names in one block of text, in memory or in a file: a million of them take no Python object each."""

from __future__ import annotations

import functools
import hashlib
import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from hardener.errors import HardenerError

MANY = 20_000
"""From so many on, lists are kept this way."""
_CHUNK = 8192  # names that are made at a time
_ENCODING = ("utf-8", "surrogateescape")


class Stretch:
    """Bytes of a file that are read as they are asked for.

    Nothing is mapped: a file that is cut under the process that reads it is an error and no SIGBUS.

    Args:
        file: may be closed or removed afterwards.
        start, size: where the bytes begin in it, and how many they are.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._descriptor, self._start, self._size = os.dup(file.fileno()), start, size
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self._size

    def part(self, start: int, size: int) -> Stretch:
        """Return some of it."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            return Stretch(file, self._start + start, size)

    def __getitem__(self, part: slice) -> bytes:
        """Return the bytes from one place to another.

        Raises:
            HardenerError: the file no longer holds them.
        """
        first, behind, _ = part.indices(self._size)
        found = os.pread(self._descriptor, behind - first, self._start + first)
        if len(found) != max(0, behind - first):
            raise HardenerError(
                "the list of images in the cache was cut short while it was in use. Run the same command again: it "
                "lists them anew."
            )
        return found


class Names(Sequence[str]):
    """Names that are not changed any more.

    Args:
        text: of names in UTF-8, a line feed behind each.
        ends: (N,), where each name's line feed stands.
        places: (n,), which of the N names these are, in this order; all of them by default.
    """

    def __init__(self, text: bytes | Stretch, ends: NDArray[Any], places: NDArray[Any] | None = None) -> None:
        self.text, self.ends, self._places = text, ends, places

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Return these names."""
        if isinstance(names, Names):
            return names
        text, ends, left = bytearray(), [np.zeros(0, np.uint64)], iter(names)
        while some := list(islice(left, _CHUNK)):
            encoded = [name.encode(*_ENCODING) for name in some]
            sizes = np.fromiter(map(len, encoded), np.uint64, len(encoded))
            ends.append(len(text) + np.cumsum(sizes + np.uint64(1)) - np.uint64(1))
            text += b"\n".join(encoded) + b"\n"
        return cls(bytes(text), np.concatenate(ends).astype(np.min_scalar_type(len(text))))

    def whole(self) -> Names:
        """Return them with a text of their own, where they were picked from more."""
        return self if self._places is None else Names.of(iter(self))

    def __len__(self) -> int:
        return len(self.ends if self._places is None else self._places)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Names: ...

    def __getitem__(self, place: int | slice) -> str | Names:
        """Return the name at a place, or those of a slice."""
        if isinstance(place, slice):
            return self.pick(np.arange(*place.indices(len(self))))
        at = range(len(self))[place]
        return self._name(at if self._places is None else int(self._places[at]))

    def __iter__(self) -> Iterator[str]:
        """Yield each name."""
        for first in range(0, len(self), _CHUNK):
            yield from self.some(first, first + _CHUNK)

    def __eq__(self, other: object) -> bool:
        """Tell whether another list holds the same names in the same order."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def pick(self, places: NDArray[Any]) -> Names:
        """Return the names at these places, in this order; the text is shared."""
        own = places if self._places is None else self._places[places]
        return Names(self.text, self.ends, own.astype(np.min_scalar_type(len(self.ends))))

    def some(self, first: int, behind: int) -> list[str]:
        """Return the names from one place to another, of which the text is read at once where they lie in order."""
        behind = min(behind, len(self))
        if first >= behind:
            return []
        if self._places is None:
            return self._run(first, behind)
        places = self._places[first:behind]
        low, high = int(places[0]), int(places[-1]) + 1
        if high - low > 16 * len(places) or not np.all(places[1:] > places[:-1]):
            return [self._name(place) for place in places.tolist()]
        run = self._run(low, high)
        return [run[place] for place in (places - places[0]).tolist()]

    @functools.cached_property
    def digest(self) -> str:
        """The sha256 over the names, a line feed between them."""
        told = hashlib.sha256()
        for first in range(0, len(self), _CHUNK):
            told.update(("\n" * bool(first) + "\n".join(self.some(first, first + _CHUNK))).encode(*_ENCODING))
        return told.hexdigest()

    def _run(self, first: int, behind: int) -> list[str]:
        """Return the names of the text from one of the N to another."""
        text = self.text[self._start(first) : int(self.ends[behind - 1])].decode(*_ENCODING)
        parts = text.split("\n")
        return parts if len(parts) == behind - first else [self._name(place) for place in range(first, behind)]

    def _name(self, place: int) -> str:
        return self.text[self._start(place) : int(self.ends[place])].decode(*_ENCODING)

    def _start(self, place: int) -> int:
        return int(self.ends[place - 1]) + 1 if place else 0


def digest_of(names: Sequence[str]) -> str:
    """Return the sha256 over names, a line feed between them."""
    if isinstance(names, Names):
        return names.digest
    return hashlib.sha256("\n".join(names).encode(*_ENCODING)).hexdigest()
