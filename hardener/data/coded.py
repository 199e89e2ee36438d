"""A long column of few different words, such as the class of each image: a small number an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_CHUNK = 8192


class Coded(Sequence[str]):
    """Words of which each comes again and again.

    Args:
        values: the different words, each used.
        codes: (N,), for each place which of them stands there.
    """

    def __init__(self, values: Sequence[str], codes: NDArray[Any]) -> None:
        self.values, self.codes = tuple(values), codes

    @classmethod
    def of(cls, words: Iterable[str], count: int) -> Coded:
        """Return these words, of which there are `count`; the values are sorted."""
        if isinstance(words, Coded):
            return words
        seen: dict[str, int] = {}
        codes = np.fromiter((seen.setdefault(word, len(seen)) for word in words), np.int32, count)
        values = sorted(seen)
        place = np.empty(len(values), np.min_scalar_type(len(values)))
        place[[seen[value] for value in values]] = np.arange(len(values))
        return cls(values, place[codes])

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Coded: ...

    def __getitem__(self, place: int | slice) -> str | Coded:
        """Return the word at a place, or those of a slice."""
        if isinstance(place, slice):
            part = self.codes[place]
            return Coded.of((self.values[code] for code in part.tolist()), len(part))
        return self.values[int(self.codes[place])]

    def __iter__(self) -> Iterator[str]:
        """Yield each word."""
        for first in range(0, len(self), _CHUNK):
            yield from map(self.values.__getitem__, self.codes[first : first + _CHUNK].tolist())

    def __eq__(self, other: object) -> bool:
        """Tell whether another column has the same words in the same order."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
