"""Files of one name and two endings in one folder: `1.jpg` and `1.png`. One is drawn on the other, or is it again."""

from __future__ import annotations

import glob
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hardener.errors import HardenerError

_SURE = 0.8
"""The share of a folder's names that have two endings, where they do so by no chance."""
_FEWEST = 3
_MOST = 0.5
"""The share of all images that lie in twos, where it is no matter of a few folders."""
_SHOWN = 6
_FIRST = ("jpg", "jpeg")
"""Endings of photographs: what lies beside one in another form is likelier drawn on it."""


def doubts_about_twins(images: Sequence[str], here: str) -> list[str]:
    """Tell of folders in which nearly each name has two endings.

    Raises:
        HardenerError: most images are such; it names the ending to leave out.
    """
    twins = _twins(images)
    if not twins:
        return []
    counts = Counter(ending for endings in twins.values() for ending in endings)
    order = sorted(counts, key=lambda ending: (ending.lower() not in _FIRST, -counts[ending], ending))
    rest = [ending for ending in order if ending.lower() != order[0].lower()]
    (stem, endings), *_ = twins.items()
    one, other = sorted(endings, key=order.index)[:2]
    start = (
        f"{len(twins)} images below {here} lie beside another of the same name, such as {stem}.{one} and {stem}.{other}"
    )
    leave = _leaving(rest, twins, images)
    if counts.total() < _MOST * len(images):
        return [f"{start}: if one is drawn on the other, or is the same image again, {leave} takes {order[0]} alone"]
    raise HardenerError(
        f"{start}: one may be drawn on the other, or be the same image again. {leave} takes {order[0]} alone. "
        "If each is an image of its own, pass --class-depth 1."
    )


def _leaving(rest: Sequence[str], twins: Mapping[str, Sequence[str]], images: Sequence[str]) -> str:
    """Return the options that leave out endings: in the folders of twins alone, where others hold nothing else."""
    own = {f"{stem}.{ending}" for stem, endings in twins.items() for ending in endings}
    patterns = [f"*.{ending}" for ending in rest]
    if any(name not in own and name.rpartition(".")[2] in rest for name in images):
        folders = dict.fromkeys(stem.rpartition("/")[0] for stem in twins)
        patterns = [f"{glob.escape(folder)}/*.{ending}" for folder in folders for ending in rest]
    words = [f"--ignore {shlex.quote(pattern)}" for pattern in patterns]
    return " ".join(words[:_SHOWN]) + (" and so on" if len(words) > _SHOWN else "")


def _count_on(stems: Iterable[str]) -> bool:
    """Tell whether names count on: those of two sources that were put together are alike as far as both go."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for stem in stems:
        start = stem.rstrip("0123456789")
        if start == stem:
            return False
        numbers[start].append(int(stem[len(start) :]))
    return all(max(own) - min(own) < 2 * len(own) for own in numbers.values())


def _twins(images: Sequence[str]) -> dict[str, list[str]]:
    """Return the names that have two endings, with these, of folders where nearly all have; all that count on have."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in images:
        stem, _, ending = name.rpartition(".")
        found[stem.rpartition("/")[0]][stem].append(ending)
    twins: dict[str, list[str]] = {}
    for own in found.values():
        two = {stem: ends for stem, ends in own.items() if len({ending.lower() for ending in ends}) > 1}
        if len(two) >= max(_FEWEST, (1 if _count_on(two) else _SURE) * len(own)):
            twins |= two
    return twins
