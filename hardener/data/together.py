"""Images that belong together, such as those of a patient: what is drawn takes all of a group, or none.

Where images of one patient are trained on and judged by, a model is judged by what it has nearly seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group
from hardener.data.image_files import ImageFiles
from hardener.data.layouts._pattern import compiled, folders_in, matched
from hardener.data.split import draw_groups
from hardener.errors import HardenerError
from hardener.words import listed


def groups_of(images: Group, reading: Reading) -> Sequence[str] | None:
    """Return the group of each image; None where none are asked for.

    Raises:
        HardenerError: the names of some do not fit the pattern; or a column is asked for, and no table tells one.
    """
    if reading.group_pattern is not None:
        return _by_names(images, reading.group_pattern)
    if reading.group_column is not None and images.together is None:
        raise HardenerError(
            f"data.group_by={reading.group_column} names a column of a table, and {images.root} is not read by one "
            "that has it. Write what the names of files tell: --set 'data.group_by={group}_{*}' for patient7_0.jpg, or "
            "--set 'data.group_by={group}/{*}' for a folder above each image."
        )
    return images.together


def draw(
    groups: Sequence[str], files: ImageFiles, classes: tuple[str, ...], fraction: float, salt: str
) -> NDArray[np.int64]:
    """Return the places of images that are held out, a group at a time.

    Raises:
        HardenerError: of some class no group can be held out.
    """
    held = draw_groups(groups, files.labels, fraction, salt)
    if not isinstance(held, int):
        return held
    own = sorted({group for group, label in zip(groups, files.labels, strict=True) if label == held})
    lies = f"{len(own)} group{'s' if len(own) > 1 else ''} of data.group_by ({listed(own, 5)})"
    raise HardenerError(
        f"class {classes[held]!r} lies in {lies}, and none of them can be held out and leave images of each class to "
        "train on. Tell the splits yourself, in folders train/, val/ and test/ or in a table's column split; or draw "
        "image by image, without data.group_by."
    )


def drawn_as(share: float, reading: Reading) -> str:
    """Say how a split was drawn."""
    if reading.group_by is None:
        return f"drawn, {share:.0%} of each class"
    return f"drawn by {reading.group_by}, about {share:.0%} of each class"


def shared(brought: Brought, reading: Reading) -> Iterator[str]:
    """Tell of groups that lie in several of the splits that the data brings, which are taken as they stand."""
    if reading.group_by is None or "train" not in brought.splits:
        return
    groups = {split: set(groups_of(images, reading) or ()) for split, images in brought.splits.items()}
    for split, own in groups.items():
        both = sorted(own & groups["train"])
        if split != "train" and both:
            yield (
                f"{len(both)} of {len(own)} groups of the {split} split lie in train too, by data.group_by: "
                f"{listed(both, 3)}. The data's own splits are taken as they stand"
            )


def _by_names(images: Group, text: str) -> list[str]:
    pattern, depth = compiled(text, "group", "data.group_by"), folders_in(text)
    found = [matched(pattern, path, depth) for path in images.paths]
    told = [None if one is None else one["group"] for one in found]
    if None in told:
        missing = [path for path, group in zip(images.paths, told, strict=True) if group is None]
        raise HardenerError(
            f"data.group_by={text} fits the names of {len(told) - len(missing):,} of {len(told):,} images of "
            f"{images.root}, and not {listed(missing, 3)}. Write a pattern that fits all of them."
        )
    return [group for group in told if group is not None]
