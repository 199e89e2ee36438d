"""Files of one name and two endings in one folder: `1.jpg` and `1.png`. One is drawn on the other, or is it again."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence

from hardener.errors import HardenerError

_SURE = 0.8
"""The share of a folder's names that have two endings, where they do so by no chance."""
_FEWEST = 3
_FIRST = ("jpg", "jpeg")
"""Endings of photographs: what lies beside one in another form is likelier drawn on it."""


def refuse_twins(images: Sequence[str], here: str) -> None:
    """Refuse folders in which nearly each name has two endings.

    Raises:
        HardenerError: there is such a folder; it names the ending to leave out.
    """
    twins = _twins(images)
    if not twins:
        return
    counts = Counter(ending for endings in twins.values() for ending in endings)
    order = sorted(counts, key=lambda ending: (ending.lower() not in _FIRST, -counts[ending], ending))
    rest = [ending for ending in order if ending.lower() != order[0].lower()]
    (stem, endings), *_ = twins.items()
    one, other = sorted(endings, key=order.index)[:2]
    leave = " ".join(f"--ignore {shlex.quote(f'*.{ending}')}" for ending in rest)
    raise HardenerError(
        f"{len(twins)} images below {here} lie beside another of the same name, such as {stem}.{one} and "
        f"{stem}.{other}: one may be drawn on the other, or be the same image again. {leave} takes {order[0]} alone. "
        "If each is an image of its own, pass --class-depth 1."
    )


def _twins(images: Sequence[str]) -> dict[str, list[str]]:
    """Return the names that have two endings, with these, of folders where nearly all have."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in images:
        stem, _, ending = name.rpartition(".")
        found[stem.rpartition("/")[0]][stem].append(ending)
    twins: dict[str, list[str]] = {}
    for own in found.values():
        two = {stem: ends for stem, ends in own.items() if len({ending.lower() for ending in ends}) > 1}
        if len(two) >= max(_FEWEST, _SURE * len(own)):
            twins |= two
    return twins
