"""Splits that the data does not bring, drawn of what it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from hardener.config.reading import ignoring
from hardener.data import together
from hardener.data.image_files import ImageFiles
from hardener.data.index import drawn
from hardener.errors import HardenerError


def draw_split(
    files: ImageFiles, classes: tuple[str, ...], fraction: float, salt: str, groups: Sequence[str] | None
) -> tuple[ImageFiles, ImageFiles, Sequence[str] | None]:
    """Return what is left, what is held out, and the groups of what is left.

    Args:
        fraction: of each class that is held out, in (0, 0.5).
        salt: of the draw.
        groups: of each image, which are held out whole; None to draw one by one.
    Raises:
        HardenerError: a class has too few images, or too few groups.
    """
    count_of = Counter(files.labels)
    counts = [count_of[label] for label in range(len(classes))]
    if min(counts) < 2:
        small = [name for name, count in zip(classes, counts, strict=True) if count < 2]
        raise HardenerError(_too_few(files, small, len(classes)))
    if groups is None:
        held = drawn(files.paths, files.labels, fraction, salt)
    else:
        held = together.draw(groups, files, classes, fraction, salt)
    left = np.delete(np.arange(len(files)), held)
    return files.pick(left), files.pick(held), None if groups is None else [groups[place] for place in left.tolist()]


def _too_few(files: ImageFiles, small: list[str], classes: int) -> str:
    """Say that nothing can be held out of some classes, and what to do."""
    advice = (
        f"Add images, or leave it out, {ignoring(small[:1])}; or tell the splits yourself: in folders "
        "train/, val/ and test/, in a table's column split, or by --val and --test."
    )
    if 2 * len(small) > classes:
        advice = (
            f"So have {len(small)} of {classes} classes: if these are none, name what is, by --label-column of a "
            f"table, or --class-depth of folders. {advice}"
        )
    return f"class {small[0]!r} of {files.root} has too few images to hold some out for validation and test. {advice}"
