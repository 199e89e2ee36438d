"""Which classes are taken for which, untouched and under attack, as terminal, page, card and dossier show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hardener.config.confusion_record import Confused
from hardener.config.evaluation_record import Evaluation
from hardener.statistics.interval import clopper_pearson
from hardener.words import ends, percent

MOST_CLASSES = 20
"""Of more, a matrix cannot be read on a page."""
_NAMED, _PAIRS, _TURNS = 3, 10, 3


@dataclass(frozen=True)
class Pair:
    """So many `images` of `of` in the class `label` were taken for `became`."""

    label: str
    became: str
    images: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the share."""
        return clopper_pearson(self.images, self.of)

    def __str__(self) -> str:
        return f"{self.label} taken for {self.became}: {self.images} of {self.of} {ends(self.interval)[:-1]} %)"


def most_confused(evaluation: Evaluation, found: Sequence[Confused], most: int = _PAIRS) -> list[Pair]:
    """Return the pairs with the most images first, of equals the one of the smaller class."""
    samples = {item.name: item.samples for item in evaluation.per_class}
    pairs = [Pair(item.label, item.became, item.images, samples[item.label]) for item in found]
    return sorted(pairs, key=lambda pair: (-pair.images, pair.of, pair.label, pair.became))[:most]


def confused_lines(evaluation: Evaluation) -> list[str]:
    """Say which pairs are confused most, a line untouched and a line under attack; none where nothing is."""
    if evaluation.confusion is None:
        return []
    lines = []
    for title, found in (
        ("Most confused, untouched", evaluation.confusion.clean),
        ("What attacks turn right answers into, the most", evaluation.confusion.turned),
    ):
        named = "; ".join(map(str, most_confused(evaluation, found, _NAMED)))
        lines += [f"{title}: {named}."] if named else []
    return lines


def confusion_tables(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the template shows: matrices, the most confused pairs, and what attacks turn each class into."""
    found = evaluation.confusion
    if found is None:
        return {"confused": None}
    small = len(evaluation.per_class) <= MOST_CLASSES
    both = (("untouched", found.clean), ("in the worst case", [*found.clean, *found.turned]))
    return {
        "confused": found,
        "heads": heads(evaluation),
        "matrices": [(name, _matrix(evaluation, of)) for name, of in both] if small else [],
        "pairs": [
            ("untouched", most_confused(evaluation, found.clean)),
            ("by attacks, of images that were right", most_confused(evaluation, found.turned)),
        ],
        "turned": _turned(evaluation, found.turned),
    }


def _matrix(evaluation: Evaluation, found: Sequence[Confused]) -> list[tuple[str, int, list[tuple[int, float, bool]]]]:
    """A row a class: its name, its images, and for each class how many were taken for it, as count, share, diagonal."""
    names = heads(evaluation)
    counts: dict[tuple[str, str], int] = {}
    for item in found:
        counts[item.label, item.became] = counts.get((item.label, item.became), 0) + item.images
    rows = []
    for row in evaluation.per_class:
        wrong = sum(count for (label, _), count in counts.items() if label == row.name)
        line = [row.samples - wrong if name == row.name else counts.get((row.name, name), 0) for name in names]
        cells = [(count, count / row.samples, name == row.name) for count, name in zip(line, names, strict=True)]
        rows.append((row.name, row.samples, cells))
    return rows


def heads(evaluation: Evaluation) -> list[str]:
    """Return the columns of the matrices: classes that are taken for, in the order of the rows."""
    found = evaluation.confusion
    became = [] if found is None else [item.became for item in (*found.clean, *found.turned)]
    return list(dict.fromkeys([*(item.name for item in evaluation.per_class), *became]))


def _turned(evaluation: Evaluation, found: Sequence[Confused]) -> list[tuple[str, int, int, str]]:
    """For each class: its right images, how many of them fell, and into what, the most first."""
    rows = []
    for row in evaluation.per_class:
        own = sorted((item for item in found if item.label == row.name), key=lambda item: (-item.images, item.became))
        fell, right = sum(item.images for item in own), round(row.clean_accuracy * row.samples)
        named = ", ".join(f"{item.became}: {item.images} ({percent(item.images / fell)})" for item in own[:_TURNS])
        more = f" and {len(own) - _TURNS} others" if len(own) > _TURNS else ""
        if fell:
            rows.append((row.name, right, fell, named + more))
    return sorted(rows, key=lambda item: -item[2] / item[1])
