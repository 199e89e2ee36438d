"""Which classes are taken for which, untouched and under attack, as terminal, page, card and dossier show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hardener.config.confusion_record import Confused, Confusion
from hardener.config.evaluation_record import Evaluation
from hardener.statistics.interval import clopper_pearson
from hardener.words import ends, in_list, percent

MOST_CLASSES = 20
"""Of more, a matrix cannot be read on a page."""
UNANSWERED = "no answer"
"""Stands in place of a class where a network's scores are NaN or infinite."""
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
        how = "without an answer" if self.became == UNANSWERED else f"taken for {self.became}"
        return f"{self.label} {how}: {self.images} of {self.of} {ends(self.interval)[:-1]} %)"


def with_unanswered(found: Sequence[Confused], wrong: Mapping[str, int]) -> list[Confused]:
    """Add to the pairs those images that are in none: they are wrong, and the network gave them no answer.

    Args:
        wrong: how many images of each class are wrong.
    """
    told: Counter[str] = Counter()
    for item in found:
        told[item.label] += item.images
    rest = {name: images - told[name] for name, images in wrong.items()}
    return [*found, *(Confused(label=name, became=UNANSWERED, images=n) for name, n in rest.items() if n > 0)]


def most_confused(samples: Mapping[str, int], found: Sequence[Confused], most: int = _PAIRS) -> list[Pair]:
    """Return the pairs with the most images first, of equals the one of the smaller class.

    Args:
        samples: of each class, how many images were asked about.
    """
    pairs = [Pair(item.label, item.became, item.images, samples[item.label]) for item in found]
    return sorted(pairs, key=lambda pair: (-pair.images, pair.of, pair.label, pair.became))[:most]


def confused_lines(evaluation: Evaluation) -> list[str]:
    """Say which pairs are confused most, a line untouched and a line under attack; none where nothing is."""
    if evaluation.confusion is None:
        return []
    lines, samples, whole = [], _samples(evaluation), _whole(evaluation, evaluation.confusion)
    for title, found in (
        ("Most confused, untouched", whole.clean),
        ("What attacks turn right answers into, the most", whole.turned),
    ):
        named = "; ".join(map(str, most_confused(samples, found, _NAMED)))
        lines += [f"{title}: {named}."] if named else []
    return lines


def confusion_tables(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the template shows: matrices, the most confused pairs, and what attacks turn each class into."""
    if evaluation.confusion is None:
        return {"confused": None}
    samples, found = _samples(evaluation), _whole(evaluation, evaluation.confusion)
    both = (("untouched", found.clean), ("in the worst case", [*found.clean, *found.turned]))
    return {
        "confused": found,
        "heads": _heads(samples, [*found.clean, *found.turned]),
        "matrices": _matrices(samples, dict(both)),
        "pairs": [
            ("untouched", most_confused(samples, found.clean)),
            ("by attacks, of images that were right", most_confused(samples, found.turned)),
        ],
        "turned": _turned(evaluation, found.turned),
    }


def untouched_tables(samples: Mapping[str, int], found: Sequence[Confused], name: str) -> dict[str, Any]:
    """Return what the template shows where nothing was attacked; `name` says of which images, `samples` how many."""
    return {
        "confused": Confusion(clean=list(found), turned=[]),
        "heads": _heads(samples, found),
        "matrices": _matrices(samples, {name: found}),
        "pairs": [(name, most_confused(samples, found))],
        "turned": [],
    }


def _samples(evaluation: Evaluation) -> dict[str, int]:
    return {item.name: item.samples for item in evaluation.per_class}


def _whole(evaluation: Evaluation, found: Confusion) -> Confusion:
    """Return the pairs, and the images that got no answer, which a record does not list."""
    right = {item.name: round(item.clean_accuracy * item.samples) for item in evaluation.per_class}
    wrong = {name: many - right[name] for name, many in _samples(evaluation).items()}
    fell = {item.name: right[item.name] - round(item.robust_accuracy * item.samples) for item in evaluation.per_class}
    return Confusion(clean=with_unanswered(found.clean, wrong), turned=with_unanswered(found.turned, fell))


_Matrix = list[tuple[str, int, list[tuple[int, float, bool]]]]


def _matrices(samples: Mapping[str, int], named: Mapping[str, Sequence[Confused]]) -> list[tuple[str, _Matrix]]:
    """A matrix for each name, all with the same columns; none where there are too many classes to read."""
    if len(samples) > MOST_CLASSES:
        return []
    names = _heads(samples, [item for found in named.values() for item in found])
    return [(name, _matrix(samples, found, names)) for name, found in named.items()]


def _matrix(samples: Mapping[str, int], found: Sequence[Confused], names: Sequence[str]) -> _Matrix:
    """A row a class: its name, its images, and for each class how many were taken for it, as count, share, diagonal."""
    counts: dict[tuple[str, str], int] = {}
    for item in found:
        counts[item.label, item.became] = counts.get((item.label, item.became), 0) + item.images
    rows = []
    for own, many in samples.items():
        wrong = sum(count for (label, _), count in counts.items() if label == own)
        line = [many - wrong if name == own else counts.get((own, name), 0) for name in names]
        cells = [(count, count / many, name == own) for count, name in zip(line, names, strict=True)]
        rows.append((own, many, cells))
    return rows


def _heads(samples: Mapping[str, int], found: Sequence[Confused]) -> list[str]:
    """Return the columns of the matrices: classes that are taken for, in the order of the rows."""
    return list(dict.fromkeys([*samples, *(item.became for item in found)]))


def _turned(evaluation: Evaluation, found: Sequence[Confused]) -> list[tuple[str, int, int, str]]:
    """For each class: its right images, how many of them fell, and into what, the most first."""
    rows = []
    for row in evaluation.per_class:
        own = sorted((item for item in found if item.label == row.name), key=lambda item: (-item.images, item.became))
        fell, right = sum(item.images for item in own), round(row.clean_accuracy * row.samples)
        named = ", ".join(
            f"{in_list(item.became)}: {item.images} ({percent(item.images / fell)})" for item in own[:_TURNS]
        )
        more = f" and {len(own) - _TURNS} others" if len(own) > _TURNS else ""
        if fell:
            rows.append((row.name, right, fell, named + more))
    return sorted(rows, key=lambda item: -item[2] / item[1])
