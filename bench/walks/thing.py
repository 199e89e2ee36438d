"""What an expression can mean."""

from __future__ import annotations

import ast
from typing import NamedTuple


class Thing(NamedTuple):
    """What an expression means. `kind`: module, function, class, object (of a class), many (of `inner`) or row."""

    kind: str
    module: str = ""
    name: str = ""
    inner: tuple[frozenset[Thing], ...] = ()


Things = frozenset[Thing]
NONE: Things = frozenset()


def many(inner: Things) -> Things:
    """Return several of something."""
    return frozenset({Thing("many", inner=(inner,))}) if inner else NONE


def elements(found: Things, place: ast.expr | None = None) -> Things:
    """Return one of several; of a row the one at a place that is written out."""
    picked = NONE
    for thing in found:
        if thing.kind == "many":
            picked |= thing.inner[0]
        elif thing.kind == "row" and isinstance(place, ast.Constant) and isinstance(place.value, int):
            picked |= thing.inner[place.value] if place.value < len(thing.inner) else NONE
        elif thing.kind == "row" and place is None:
            picked |= frozenset().union(*thing.inner)
    return picked
