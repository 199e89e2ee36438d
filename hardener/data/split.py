"""Holding images out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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
        told += hashlib.sha256(f"{salt}/{name}".encode("utf-8", "surrogateescape")).digest()[:16]
    first, second = np.frombuffer(told, ">u8").reshape(-1, 2).T
    of_class = np.asarray(labels, np.int64)
    order = np.lexsort((second, first, of_class))
    held_out = []
    for members in np.split(order, np.cumsum(np.bincount(of_class))[:-1]):
        held_out.append(members[: min(max(1, round(len(members) * fraction)), len(members) - 1)])
    return np.sort(np.concatenate(held_out))
