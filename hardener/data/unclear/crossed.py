"""Names that are made of two parts, each of one with each of the other: product by state, class by video."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from hardener.data.node import Node
from hardener.data.unclear.name_parts import classes_of, crossed, labels_by
from hardener.data.unclear.repeated import DIVIDED
from hardener.words import listed


def doubts_about_counted(filled: Mapping[str, Node]) -> list[str]:
    """Tell of folders such as `gut_video1`, `gut_video2`, `defekt_video1`, `defekt_video2`: parts of two classes."""
    found = crossed(filled) if all(node.is_leaf for node in filled.values()) else None
    if found is None:
        return []
    for words, counts, first in ((found[0], found[1], True), (found[1], found[0], False)):
        if not any(map(_has_digit, words)) and all(map(_has_digit, counts)):
            images = [image for node in filled.values() for image in node.own]
            label = f"(?P<label>{'|'.join(map(re.escape, sorted(words)))})"
            pattern = rf"(?:^|/){label}[\W\d_][^/]*/[^/]+$" if first else rf"[\W\d_]{label}/[^/]+$"
            if set(labels_by(pattern, images).values()) != set(words):
                return []
            gives = f"which gives {classes_of(words)}"
            return [
                f"the folders are called by {len(words)} words ({listed(sorted(words)[:5], 5)}) and the same "
                f"{len(counts)} counts ({listed(sorted(counts)[:5], 5)}), so they may be videos, days or batches of "
                f"{len(words)} classes: if so, pass --label-from {shlex.quote(pattern)}, {gives}{DIVIDED}"
            ]
    return []


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
