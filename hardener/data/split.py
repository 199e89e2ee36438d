"""Holding images out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def draw_from_each_class(
    names: Sequence[str], labels: Sequence[int], fraction: float, salt: str
) -> tuple[list[int], list[int]]:
    """Hold out the same share of every class, at least one image of each.

    The order of the draw is that of a hash of `salt` and the name: it depends on no random state and not on the
    order of the files.

    Args:
        names, labels: one of each an image; each class has two images or more.
        fraction: in (0, 1).
    Returns:
        Indices kept and indices held out, each ascending.
    """
    held_out: list[int] = []
    of_each: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        of_each.setdefault(label, []).append(place)
    for members in of_each.values():
        members.sort(key=lambda i: hashlib.sha256(f"{salt}/{names[i]}".encode("utf-8", "surrogateescape")).digest())
        held_out += members[: min(max(1, round(len(members) * fraction)), len(members) - 1)]
    chosen = set(held_out)
    return [i for i in range(len(names)) if i not in chosen], sorted(held_out)
