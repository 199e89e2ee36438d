"""Images that are in a data set more than once: repeated in a split, or in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardener.config.data_findings import SHOWN, Alike, Repeated
from hardener.data.cache import PixelCache
from hardener.data.image_files import ImageFiles
from hardener.data.prints import Prints, can_be_paired, equal_places, first_places, joined, near_pairs, near_places
from hardener.words import plain

_BESIDES = {"validation": ("train",), "test": ("train", "validation")}


@dataclass(frozen=True)
class Twins:
    """For each image of a split, the place of its like in another, or -1; `near` is None where not compared."""

    equal: NDArray[np.int64]
    near: NDArray[np.int64] | None

    @property
    def places(self) -> NDArray[np.int64]:
        """The place of an equal image, else of a nearly equal one."""
        return self.equal if self.near is None else np.where(self.equal >= 0, self.equal, self.near)


def find_twins(ours: Prints, theirs: Prints, *, cache: PixelCache | None = None) -> Twins:
    """Compare each image of ours with each of theirs.

    Args:
        cache: where the answer is kept.
    """

    def compare() -> dict[str, Any]:
        near = near_places(ours, theirs)
        return {"equal": equal_places(ours, theirs).tobytes(), "near": None if near is None else near.tobytes()}

    key = hashlib.sha256(b"twins")
    for prints in (ours, theirs):
        key.update(len(prints).to_bytes(8, "little"))
        key.update(np.ascontiguousarray(prints.rows).data)
    entry = None if cache is None else cache.get(key.hexdigest(), 0, lambda write: (compare(), True))
    facts = compare() if entry is None else entry.facts
    near = facts["near"]
    return Twins(np.frombuffer(facts["equal"], np.int64), None if near is None else np.frombuffer(near, np.int64))


def describe_twins(
    split: str, ours: ImageFiles, other: str, theirs: ImageFiles, twins: Twins, *, dropped: bool = False
) -> Alike:
    """Put on record which images of one split are in another."""
    places = twins.places
    both = np.flatnonzero(places >= 0).tolist()
    crossing = [place for place in both if ours.labels[place] != theirs.labels[int(places[place])]]
    found = list(dict.fromkeys([*crossing, *both]))[:SHOWN]
    equal = int((twins.equal >= 0).sum())
    return Alike(
        split=split,
        other=other,
        equal=equal,
        near=None if twins.near is None else len(both) - equal,
        first=tuple((plain(ours.paths[place]), plain(theirs.paths[int(places[place])])) for place in found),
        contradicting=len(crossing),
        dropped=dropped,
    )


def find_alike(
    splits: Mapping[str, ImageFiles], prints: Mapping[str, Prints], cache: PixelCache | None
) -> tuple[Alike, ...]:
    """Compare validation with train, and test with both."""
    return tuple(
        describe_twins(
            split, splits[split], other, splits[other], find_twins(prints[split], prints[other], cache=cache)
        )
        for split, others in _BESIDES.items()
        for other in others
        if split in prints and other in prints
    )


def find_repeated(split: str, files: ImageFiles, prints: Prints, cache: PixelCache | None = None) -> Repeated:
    """Count images with the bytes of an earlier one, then those that are nearly equal to one, and those whose class is
    another one's.

    Args:
        cache: where the comparison is kept.
    """
    first = first_places(prints)
    known = np.flatnonzero(first >= 0)
    again = known[first[known] != known]
    near = _near_within(prints, known[first[known] == known], cache)
    alike = [(place, group[0]) for group in near or () for place in group[1:]]
    contradicting, told = _named(files, again, first[again])
    near_contradicting, near_told = _named(files, *np.array(alike, np.int64).reshape(-1, 2).T)
    return Repeated(
        split=split,
        images=len(again),
        contradicting=contradicting,
        first=told,
        near=None if near is None else len(alike),
        near_contradicting=near_contradicting,
        near_first=near_told,
    )


def _named(
    files: ImageFiles, places: NDArray[np.int64], others: NDArray[np.int64]
) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Return how many pairs are of two classes, and the names of a few, those first."""
    labels = np.asarray(files.labels, np.int64)
    crossing = np.flatnonzero(labels[places] != labels[others])
    shown = dict.fromkeys([*crossing[:SHOWN].tolist(), *range(min(len(places), 2 * SHOWN))])
    pairs = [(int(places[pair]), int(others[pair])) for pair in shown][:SHOWN]
    return len(crossing), tuple((plain(files.paths[place]), plain(files.paths[other])) for place, other in pairs)


def _near_within(prints: Prints, places: NDArray[np.int64], cache: PixelCache | None) -> list[list[int]] | None:
    """Return groups of places whose images are nearly equal; None where they are too many to compare."""
    some = prints.pick(places)
    if not can_be_paired(some):
        return None

    def compare() -> dict[str, Any]:
        return {"groups": joined(near_pairs(some))}

    key = hashlib.sha256(b"within" + some.rows.tobytes()).hexdigest()
    entry = None if cache is None else cache.get(key, 0, lambda write: (compare(), True))
    groups = (compare() if entry is None else entry.facts)["groups"]
    return [[int(places[place]) for place in group] for group in groups]
