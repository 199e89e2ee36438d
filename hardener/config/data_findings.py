"""What was found where a user's data lies: one value for the terminal, run, report and card."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from hardener.words import are, counted, in_list, listed, plain

SEEN = "trained-on"
"""The flag of an evaluation of images that the run was trained on, or that chose its epoch."""
SHOWN = 3
_MANY = 20
_UNEVEN = 3.0
FEW = 10
"""Of fewer images in a class, its figures say next to nothing."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LeftOut(_Strict):
    """Files that are not used, for one reason: how many, and the first of them."""

    reason: str
    count: int
    first: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.first) else ""
        reason = self.reason
        if self.count == 1:
            reason = re.sub(r"\b(file|folder|archive)s\b", r"\1", reason, count=1)
        return f"{self.count} {reason} ({', '.join(self.first)}{more})"


class SplitFound(_Strict):
    """A split: where it comes from, and how many images each class has in it, also those that have none."""

    source: str
    classes: dict[str, int]

    @property
    def images(self) -> int:
        """How many images it has."""
        return sum(self.classes.values())


BEFORE = "before_"
"""Stands before the name of a split of what a run started from, in the run's prints and in what is found of them."""
_STARTS = {f"{BEFORE}{split}": f"the {split} split of what the run started from" for split in ("train", "validation")}


class Alike(_Strict):
    """Images of one split that are in another too: equal in every byte, or nearly equal to look at.

    `other` is `before_train` or `before_validation` for a split of what the run started from. `near` is None where both
    splits are too large to compare. `first`: (image, its like) of the first few.
    `contradicting`: how many have another class there. `dropped`: they were left out of the first split.
    """

    split: str
    other: str
    equal: int
    near: int | None
    first: tuple[tuple[str, str], ...]
    contradicting: int = 0
    dropped: bool = False

    @property
    def count(self) -> int:
        """How many images there are in both."""
        return self.equal + (self.near or 0)

    def __str__(self) -> str:
        near = "not compared for near copies" if self.near is None else f"{self.near} nearly equal"
        named = ", ".join(f"{ours} = {theirs}" for ours, theirs in self.first)
        left = "; left out" if self.dropped else ""
        there = _STARTS.get(self.other, self.other)
        both = f"{counted(self.count, f'{self.split} image')} {are(self.count)} in {there} too"
        other = f", {self.contradicting} of another class" if self.contradicting else ""
        return f"{both}: {self.equal} equal, {near}{other} ({named}){left}"


class Repeated(_Strict):
    """Images of a split with the bytes of another one in it; `contradicting`: of another class.

    Those with `near` are nearly equal to another, to look at; None where they are too many to compare.
    """

    split: str
    images: int
    contradicting: int
    first: tuple[tuple[str, str], ...]
    near: int | None = None
    near_contradicting: int = 0
    near_first: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        repeat = "repeats" if self.images == 1 else "repeat"
        equal = _told(
            f"{counted(self.images, f'{self.split} image')} {repeat} another",
            self.images,
            self.contradicting,
            self.first,
        )
        alike = self.near or 0
        look = f"{counted(alike, f'{self.split} image')} {are(alike)} nearly equal to another"
        near = _told(look, alike, self.near_contradicting, self.near_first)
        return "; ".join(text for text, count in ((equal, self.images), (near, alike)) if count)


def _told(what: str, count: int, contradicting: int, first: tuple[tuple[str, str], ...]) -> str:
    named = ", ".join(f"{ours} = {theirs}" for ours, theirs in first)
    which = "" if count == 1 else f"{contradicting} of them "
    return f"{what}{f', {which}in another class' if contradicting else ''} ({named})"


class DataFound(_Strict):
    """What was found. `input`: what images are brought to, and why. `formats`: how many images are of each."""

    kind: str
    splits: dict[str, SplitFound]
    input: str = ""
    color: str = ""
    formats: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    repeated: tuple[Repeated, ...] = ()
    alike: tuple[Alike, ...] = ()

    @property
    def uneven(self) -> float:
        """How many times more images the largest class has than the smallest, in the first split."""
        return unevenness(next(iter(self.splits.values())).classes.values())

    def rows(self) -> list[tuple[str, str]]:
        """Return what a reader is to see, as names and texts."""
        first = next(iter(self.splits.values()))
        rows = [("classes", _classes(first))]
        rows += [(name, _split(name, found)) for name, found in self.splits.items()]
        rows += [("input", self.input)] if self.input else []
        rows += [("colour", self.color)] if self.color else []
        told = ", ".join(f"{count:,} {name}" for name, count in self.formats.items())
        rows += [("formats", told)] if told else []
        rows += [("balance", text)] if (text := _balance(first, self.uneven)) else []
        rows += [("read as", note) for note in self.notes]
        rows += [("look at", doubt) for doubt in self.doubts]
        rows += [("left out", str(fact)) for fact in self.left_out]
        rows += [("repeated", str(fact)) for fact in self.repeated if fact.images or fact.near]
        return rows + [("leak", str(fact)) for fact in self.alike if fact.count]


def unevenness(counts: Iterable[int]) -> float:
    """Return how many times more images the largest class has than the smallest; classes without images are none."""
    known = [count for count in counts if count]
    return max(known, default=1) / min(known, default=1)


def are_uneven(counts: Iterable[int]) -> bool:
    """Tell whether classes differ so much that accuracy is mostly that of the large ones."""
    return unevenness(counts) > _UNEVEN


def left_out(reason: str, names: Iterable[str]) -> LeftOut | None:
    """Return what to say of files that are not used; None where there are none."""
    found = sorted(map(plain, names))
    return LeftOut(reason=reason, count=len(found), first=tuple(found[:SHOWN])) if found else None


def _classes(first: SplitFound) -> str:
    counts = first.classes
    if len(counts) < _MANY:
        return f"{len(counts)}: " + ", ".join(f"{in_list(name)} {count:,}" for name, count in counts.items())
    order = sorted(counts, key=lambda name: counts[name])
    few, many = order[0], order[-1]
    return f"{len(counts)}, from {counts[few]:,} images ({few}) to {counts[many]:,} ({many})"


def _split(name: str, found: SplitFound) -> str:
    empty = [own for own, count in found.classes.items() if not count]
    lacks = f"; no image of {listed(empty, 5)}{' …' if len(empty) > 5 else ''}" if empty else ""
    return f"{found.images:,} images, {found.source}{lacks}"


def _balance(first: SplitFound, uneven: float) -> str:
    counts = first.classes
    few = [f"{in_list(name)} {count}" for name, count in counts.items() if 0 < count < FEW]
    texts = [f"the largest class has {uneven:.1f} times the images of the smallest"] if uneven > _UNEVEN else []
    told = f"very few images of {', '.join(few[:5])}{' …' if len(few) > 5 else ''}"
    texts += (
        [f"{told}: figures of {'such a class' if len(few) == 1 else 'these classes'} say next to nothing"]
        if few
        else []
    )
    return "; ".join(texts)
