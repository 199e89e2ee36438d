"""Images that are the same, or nearly the same, found among many. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16
_BITS = 3  # of the 64 that may differ
_LEVELS = 4.0  # of 255 by which thumbnails may differ on average
_CONTRAST = 6.0  # levels; a fainter image has no features to be known by
_CROWD = 3000  # images that share a quarter of the hash: no more of them are compared
_BANDS = 4


def features(image: NDArray[np.uint8]) -> tuple[int | None, NDArray[np.uint8]]:
    """Return what an image is known by when it was saved anew, scaled, or changed a little.

    Args:
        image: (H, W, C), uint8.
    Returns:
        64 bits, the signs of the differences between neighbours on a grid of 9 by 8, None for an image without
        contrast; and a thumbnail, (16, 16), uint8.
    Source: N. Krawetz's difference hash, "Kind of Like That", The Hacker Factor Blog, 2013.
    """
    gray = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("L")
    small = np.asarray(gray.resize((SIDE, SIDE), Image.Resampling.BOX))
    if small.std() < _CONTRAST:
        return None, small
    grid = np.asarray(gray.resize((9, 8), Image.Resampling.BOX)).astype(np.int16)
    bits = np.packbits((grid[:, 1:] > grid[:, :-1]).reshape(-1))
    return int.from_bytes(bits.tobytes()), small


def groups(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Join pairs that share a member into groups, each ascending, by their first member."""
    above: dict[int, int] = {}

    def first(member: int) -> int:
        while above.setdefault(member, member) != member:
            above[member] = above[above[member]]
            member = above[member]
        return member

    for one, other in pairs:
        low, high = sorted((first(one), first(other)))
        above[high] = low
    found: dict[int, list[int]] = defaultdict(list)
    for member in sorted(above):
        found[first(member)].append(member)
    return sorted(tuple(members) for members in found.values() if len(members) > 1)


def same(digests: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield places whose files are the same byte for byte: each with the first of its kind."""
    seen: dict[bytes, int] = {}
    for place, digest in enumerate(digests):
        first = seen.setdefault(digest, place)
        if first != place:
            yield first, place


def nearly_same(hashes: Sequence[int | None], small: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Yield pairs of places whose images look alike: at most 3 bits of the hash differ, and thumbnails hardly do.

    Two hashes that differ in 3 bits agree in one of four quarters, so only images that share one are compared.

    Args:
        small: (N, 16, 16), uint8.
    """
    places = np.array([place for place, code in enumerate(hashes) if code is not None], np.int64)
    codes = np.array([code for code in hashes if code is not None], np.uint64)
    thumbnails = small.astype(np.int16)
    for band in range(_BANDS):
        part = (codes >> np.uint64(16 * band)) & np.uint64(0xFFFF)
        order = np.argsort(part, kind="stable")
        edges = np.flatnonzero(np.diff(part[order])) + 1
        for bucket in np.split(order, edges):
            if len(bucket) > 1:
                yield from _compared(bucket[:_CROWD], codes, places, thumbnails)


def _compared(
    bucket: NDArray[np.int64], codes: NDArray[np.uint64], places: NDArray[np.int64], thumbnails: NDArray[np.int16]
) -> Iterator[tuple[int, int]]:
    own = codes[bucket]
    for row in range(len(bucket) - 1):
        bits = (own[row + 1 :] ^ own[row])[:, None].view(np.uint8)
        differing = np.unpackbits(bits, axis=1).sum(axis=1)
        near = row + 1 + np.flatnonzero(differing <= _BITS)
        if not len(near):
            continue
        one, others = places[bucket[row]], places[bucket[near]]
        distance = np.abs(thumbnails[others] - thumbnails[one]).mean(axis=(1, 2))
        for other in others[distance <= _LEVELS]:
            yield min(int(one), int(other)), max(int(one), int(other))
