"""What a source gave, and what looking at its images told -> one record of what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hardener.config.data_findings import Alike, DataFound, Repeated, SplitFound
from hardener.data.brought import Brought
from hardener.data.image_files import ImageFiles
from hardener.data.input_rule import BULK
from hardener.data.survey import Size, Survey


def describe(
    brought: Brought,
    splits: Mapping[str, tuple[ImageFiles, str]],
    classes: Sequence[str],
    *,
    seen: Survey | None = None,
    brought_to: str = "",
    repeated: Sequence[Repeated] = (),
    alike: Sequence[Alike] = (),
) -> DataFound:
    """Put on record what was found.

    Args:
        splits: the images of each, and where it comes from.
        seen: the headers of the first split.
        brought_to: the size and colours, and why.
    """
    return DataFound(
        kind=brought.kind,
        splits={name: _split(files, source, classes) for name, (files, source) in splits.items()},
        input=brought_to,
        color="" if seen is None else "colour" if seen.color else "gray",
        formats={} if seen is None else seen.formats,
        notes=brought.notes,
        doubts=brought.doubts,
        left_out=brought.left_out,
        repeated=tuple(repeated),
        alike=tuple(alike),
    )


def describe_input(size: Size, channels: int, asked: Size | None, seen: Survey) -> str:
    """Say what images are brought to, and why."""
    height, width = size
    shown = f"{height}x{width}, {'colour' if channels == 3 else 'gray'}"
    if asked is not None:
        return f"{shown}: the size was asked for"
    share = seen.sizes.get(size, 0) / max(1, seen.images)
    if share >= BULK:
        return f"{shown}: the size of {'all' if share == 1 else 'most'} images"
    return f"{shown}: the images have {len(seen.sizes):,} sizes"


def _split(files: ImageFiles, source: str, classes: Sequence[str]) -> SplitFound:
    counts = Counter(files.labels)
    return SplitFound(source=source, classes={name: counts[label] for label, name in enumerate(classes)})
