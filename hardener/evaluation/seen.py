"""What a run has seen of its images, held against the images that its model is to be judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardener.config.data_findings import BEFORE, SEEN, SHOWN, Alike
from hardener.config.evaluation_record import Flag
from hardener.config.run_folder import RunFolder
from hardener.data.alike import find_twins
from hardener.data.prints import Prints, kept_prints


@dataclass(frozen=True)
class Seen:
    """What a run was trained on, and what chose its epoch; the same of what it started from.

    Attributes:
        prints: of the splits `train` and `validation`, and of those that `before` returns.
        own: for the images of the run's own split, by name, the print that each had when the run was trained.
        selected: whether images that chose the epoch are to be noticed; not where they alone are judged by.
    """

    prints: Mapping[str, Prints]
    own: Mapping[str, bytes] = field(default_factory=dict)
    selected: bool = True

    def among(self, paths: tuple[str, ...], prints: Prints) -> tuple[tuple[Alike, ...], NDArray[np.bool_]]:
        """Return what of some images the run has seen, for the record, and which images that are."""
        alike = []
        known = np.zeros(len(paths), np.bool_)
        for other in self._splits():
            twins = find_twins(prints, self.prints[other])
            places = (twins.places >= 0) & ~known
            equal = int((places & (twins.equal >= 0)).sum())
            of = f"a {other} image" if not other.startswith(BEFORE) else "an image of its start"
            first = tuple((paths[place], of) for place in np.flatnonzero(places)[:SHOWN])
            near = None if twins.near is None else int(places.sum()) - equal
            alike.append(Alike(split="evaluated", other=other, equal=equal, near=near, first=first))
            known |= places
        return tuple(alike), known

    def _splits(self) -> list[str]:
        """Return the splits whose images are not to be judged by, those that count most first."""
        kinds = ("train", "validation") if self.selected else ("train",)
        return [name for kind in kinds for name in (kind, BEFORE + kind) if name in self.prints]

    def overwritten(self, paths: tuple[str, ...], prints: Prints) -> list[str]:
        """Return the images whose bytes are not those that the run knew under their names."""
        found = zip(paths, prints.digests, strict=True)
        return [path for path, digest in found if path in self.own and self.own[path][: len(digest)] != digest]


def seen_by(run: Path | None) -> Seen | None:
    """Return what the run has seen that a model's weights lie in; None where they lie in none, or it is not known."""
    prints = {} if run is None else kept_prints(RunFolder(run))
    return Seen(prints) if prints else None


@dataclass(frozen=True)
class HeldOutBy:
    """Whether the images that a run's model is judged by are those that the run held out.

    Attributes:
        known: None where that is not known, or only the images tell.
        wanted: the prints of those that it held out.
    """

    known: bool | None = None
    wanted: Prints | None = None

    def settled(self, images: int, prints: Prints) -> HeldOutBy:
        """Return what images tell that were drawn of so many: all are held out, and there are as many as those."""
        if self.wanted is None:
            return self
        more = Counter(prints.digests) - Counter(self.wanted.digests)
        return HeldOutBy(images == len(self.wanted) and not more)


def flag_seen(alike: tuple[Alike, ...], images: int) -> Flag | None:
    """Return the flag that says what of the images the run has seen."""
    facts = [fact for fact in alike if fact.count]
    if not facts:
        return None
    ways = {
        "train": "were trained on",
        "validation": "chose the epoch that was kept",
        f"{BEFORE}train": "were trained on by what the run started from",
        f"{BEFORE}validation": "chose the epoch that was kept of what the run started from",
    }
    told = "; ".join(
        f"{fact.count} {ways[fact.other]} ({fact.equal} equal, {fact.near or 0} nearly equal), such as "
        f"{fact.first[0][0]}"
        for fact in facts
    )
    message = f"of {images} images that are evaluated, {told}: every accuracy is too high. --dedupe leaves them out"
    return Flag(id=SEEN, message=message, page="docs/flags.md#trained-on")


def flag_overwritten(names: list[str]) -> Flag | None:
    """Return the flag that says which images have other contents than in training."""
    if not names:
        return None
    message = (
        f"{len(names)} of the images that are evaluated have the names and not the contents of those that the run held "
        f"out, such as {names[0]}"
    )
    return Flag(id="data-changed", message=message, page="docs/flags.md#data-changed")
