"""What the run was trained on that another starts from: its images are no measure of that one either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardener.config.data_findings import BEFORE
from hardener.config.data_path import lasting
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.data.alike import find_twins
from hardener.data.cache import PixelCache
from hardener.data.prints import Prints, before, equal_places, kept_prints
from hardener.progress import Reporter
from hardener.training.request import TrainRequest
from hardener.words import are, counted


@dataclass(frozen=True)
class SeenBefore:
    """What the start of a run has seen.

    Attributes:
        start: the run, or the weights that lie in it.
        prints: as `before` returns them.
        same_split: the option that divides the images as the start had them, where there is one.
    """

    start: Path
    prints: Mapping[str, Prints]
    same_split: str | None = None

    @property
    def way(self) -> str:
        """What may be done, as the beginning of a sentence or nothing."""
        return f"{self.same_split} divides the images as it did. " if self.same_split else ""

    def trained_on(self, prints: Prints, cache: PixelCache | None = None) -> NDArray[np.bool_]:
        """Return which of some images the start was trained on."""
        return np.asarray(find_twins(prints, self.prints[f"{BEFORE}train"], cache=cache).places >= 0)

    def tell(self, splits: Mapping[str, Prints], cache: PixelCache | None, reporter: Reporter, *, dedupe: bool) -> None:
        """Say which images of the splits that are judged by the start was trained on."""
        for split in ("validation", "test"):
            count = int(self.trained_on(splits[split], cache).sum()) if split in splits else 0
            of = f"{count} of {counted(len(splits[split]), f'{split} image')}" if count else ""
            if count and dedupe:
                reporter.say(f"{of} {are(count)} left out where the run is judged: {self.start} was trained on them")
            elif count:
                reporter.warn(
                    f"{of}: {self.start}, which this run starts from, was trained on them, so the figures of these are "
                    f"too high. {self.way}--dedupe leaves them out"
                )


def seen_before(run: Path | None, request: TrainRequest) -> SeenBefore | None:
    """Return what the run was trained on that the weights lie in; None where they lie in none, or it is not known."""
    if run is None or request.init is None:
        return None
    start, found = RunFolder(run), kept_prints(RunFolder(run))
    if not found:
        return None
    seen = SeenBefore(request.init, before(found))
    by_its_start = found.get(f"{BEFORE}train")
    held = [found[split] for split in ("validation", "test") if split in found]
    if by_its_start is not None and any((equal_places(own, by_its_start) >= 0).any() for own in held):
        return seen  # its splits are no better
    return replace(seen, same_split=_same_split(start, request))


def seen_before_again(run: RunFolder, record: RunRecord) -> SeenBefore | None:
    """Return the same for a run that goes on, which has kept it."""
    prints = {name: found for name, found in kept_prints(run).items() if name.startswith(BEFORE)}
    return SeenBefore(Path(str(record.model.init)), prints) if prints else None


def _same_split(run: RunFolder, request: TrainRequest) -> str | None:
    """Return the option that draws the run's splits again, where these images are its own and that is all it takes."""
    record, data = run.read_record(), run.read_recipe().data
    own = request.recipe.data
    alike = all(getattr(data, field) == getattr(own, field) for field in ("val_fraction", "test_fraction", "group_by"))
    if not record.data.drawn or lasting(request.data) != Path(record.data.root) or not alike:
        return None
    return f"--seed {record.seed}" if record.seed != request.seed else None
