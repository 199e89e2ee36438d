"""Holding images out, one by one or a group at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hardener.data.coded import Coded


def draw_from_each_class(names: Sequence[str], labels: Sequence[int], fraction: float, salt: str) -> NDArray[np.int64]:
    """Hold out the same share of every class, at least one image of each.

    The order of the draw is that of a hash of `salt` and the name: it depends on no random state and not on the
    order of the files.

    Args:
        names, labels: one of each an image; each class has two images or more.
        fraction: in (0, 1).
    Returns:
        (n,), the places that are held out, ascending.
    """
    told = bytearray()
    for name in names:
        told += hashlib.sha256(_salted(salt, name)).digest()[:16]
    first, second = np.frombuffer(told, ">u8").reshape(-1, 2).T
    of_class = np.asarray(labels, np.int64)
    order = np.lexsort((second, first, of_class))
    held_out = []
    for members in np.split(order, np.cumsum(np.bincount(of_class))[:-1]):
        held_out.append(members[: min(max(1, round(len(members) * fraction)), len(members) - 1)])
    return np.sort(np.concatenate(held_out))


def draw_groups(groups: Sequence[str], labels: Sequence[int], fraction: float, salt: str) -> NDArray[np.int64] | int:
    """Hold out whole groups, so that about the same share of every class is held out, and something of each.

    Groups are asked in the order of a hash of `salt` and their names. One is held out where that brings its classes
    nearer to their shares, taken together, and leaves images of each to train on. A class of which nothing is held out
    by then gets its first group that leaves some.

    Args:
        groups, labels: one of each an image; each class has two images or more.
        fraction: in (0, 1).
    Returns:
        (n,), the places that are held out, ascending; or a class, of which no group can be held out.
    """
    coded, of_class = Coded.of(groups, len(groups)), np.asarray(labels, np.int64)
    sizes = np.bincount(of_class)
    wanted, held = np.maximum(np.round(sizes * fraction), 1), np.zeros(len(sizes), np.int64)
    by_group = np.argsort(coded.codes, kind="stable")
    members = np.split(by_group, np.cumsum(np.bincount(coded.codes))[:-1])
    order = sorted(range(len(members)), key=lambda code: hashlib.sha256(_salted(salt, coded.values[code])).digest())
    counts = [np.unique(of_class[own], return_counts=True) for own in members]
    taken: list[int] = []

    def take(code: int) -> None:
        own, count = counts[code]
        held[own] += count
        taken.append(code)

    def leaves_some(code: int) -> bool:
        own, count = counts[code]
        return bool(np.all(held[own] + count < sizes[own]))

    for code in order:
        own, count = counts[code]
        gap = wanted[own] - held[own]
        if leaves_some(code) and np.abs(gap - count).sum() < np.abs(gap).sum():
            take(code)
    for label in range(len(sizes)):
        if held[label]:
            continue
        way = next((code for code in order if label in counts[code][0] and leaves_some(code)), None)
        if way is None:
            return label
        take(way)
    return np.sort(np.concatenate([members[code] for code in taken]))


def _salted(salt: str, name: str) -> bytes:
    return f"{salt}/{name}".encode("utf-8", "surrogateescape")
