"""Two sizes that should be equal, one of which an argument made -> the value with which they would be."""

from __future__ import annotations

import math
import re

_BROADCAST = re.compile(r"dimension of length (\d+) at (-\d+)!.*broadcastable to \[([\d, ]+)\]", re.DOTALL)
_PAIRS = (
    re.compile(r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)"),
    re.compile(r"shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)"),
    re.compile(r"same reduction dim, but got \[(?:\d+, )*(\d+)\] X \[(\d+), "),
)
_MOST_BESIDE = 2
"""Tokens of another kind that stand beside those of an image's patches."""


def fitting_value(error: BaseException | None, value: object) -> int | None:
    """Return the value that an argument should have had, where an error tells of two sizes and it made one of them.

    The size may be the value, or the square of it, or one or two more: patches and a token for the class.
    """
    pair = _sizes(str(error))
    if pair is None or type(value) is not int or value < 2:
        return None
    for made, wanted in (pair, pair[::-1]):
        for beside in range(_MOST_BESIDE + 1):
            rest = wanted - beside
            if made == value + beside and rest > 1:
                return rest
            if made == value**2 + beside and rest > 1 and math.isqrt(rest) ** 2 == rest:
                return math.isqrt(rest)
    return None


def _sizes(text: str) -> tuple[int, int] | None:
    found = next((match for pattern in _PAIRS if (match := pattern.search(text))), None)
    if found is not None:
        return int(found[1]), int(found[2])
    spread = _BROADCAST.search(text)
    sizes = [] if spread is None else [int(size) for size in spread[3].split(",")]
    if spread is None or -int(spread[2]) > len(sizes):
        return None
    return int(spread[1]), sizes[int(spread[2])]
