"""Every image of a data set, read and decoded once: what it is, what the model would get, and what is odd about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardener.config.pixels import PixelRule
from hardener.data.colors import shows_through
from hardener.data.decode import decode_image, open_image
from hardener.data.image_files import ImageFiles
from hardener.data.prints import print_of
from hardener.data.survey import upright_size
from hardener.data.threads import mapped
from hardener.errors import BadImage

BINS = 32
CLEAR = "of one single colour over the background: its shape may be in its alpha channel"
_TINY = 0.25  # of the usual short side
_LONG = 4.0  # times as long as wide
_DARK, _BRIGHT = 8.0, 247.0  # levels of 255


@dataclass(frozen=True)
class Seen:
    """What one image showed.

    Attributes:
        place: in its split.
        weight: of the file, in bytes.
        clear: whether it may hold transparent pixels.
        reason: why it cannot be read; empty where it can.
        counts: (C, 32), how many pixels of the input lie in each bin of the levels.
        sums: (2, C), of the input's levels and of their squares.
        ends: the input's lowest and highest level of each channel.
        mark: what the image is known by again, see `print_of`.
    """

    place: int
    weight: int
    digest: bytes
    reason: str = ""
    size: tuple[int, int] = (0, 0)
    clear: bool = False
    counts: NDArray[np.uint32] | None = None
    sums: NDArray[np.float64] | None = None
    ends: NDArray[np.uint8] | None = None
    mark: bytes = b""

    @property
    def brightness(self) -> float:
        """The mean level of the input, 0 to 255."""
        assert self.sums is not None
        assert self.counts is not None
        return float(self.sums[0].sum() / self.counts.sum())

    @property
    def is_flat(self) -> bool:
        """Whether the input is of one single colour."""
        return self.ends is not None and bool((self.ends[0] == self.ends[1]).all())


def look_at(
    files: ImageFiles,
    *,
    height: int,
    width: int,
    channels: int,
    rule: PixelRule,
    on_done: Callable[[int], object] = lambda done: None,
) -> Iterator[Seen]:
    """Read and decode every image, in order; threads are a little ahead.

    Args:
        height, width, channels, rule: of the model's input, and how each is brought to it.
        on_done: called with 1 for each image.
    """

    def look(place: int) -> Seen:
        try:
            data = files.open(place)
        except OSError as error:
            return Seen(place, 0, b"", error.strerror or str(error))
        digest = hashlib.sha256(data).digest()
        try:
            header = open_image(data)
            size, clear = upright_size(header), shows_through(header)
            image = decode_image(data, height=height, width=width, channels=channels, rule=rule)
        except BadImage as error:
            return Seen(place, len(data), digest, str(error))
        levels = image.reshape(-1, channels)
        counts = np.stack([np.bincount(row >> 3, minlength=BINS) for row in levels.T]).astype(np.uint32)
        wide = levels.astype(np.float64)
        return Seen(
            place,
            len(data),
            digest,
            size=size,
            clear=clear,
            counts=counts,
            sums=np.stack([wide.sum(axis=0), np.einsum("pc,pc->c", wide, wide)]),
            ends=np.stack([levels.min(axis=0), levels.max(axis=0)]),
            mark=print_of(digest, image.transpose(2, 0, 1), len(files)),
        )

    return mapped(look, range(len(files)), on_done)


def oddities(seen: Sequence[Seen]) -> Iterator[tuple[Seen, str]]:
    """Yield images that are unlike the rest, each with one reason: the first that holds."""
    readable = [item for item in seen if not item.reason]
    if not readable:
        return
    usual = float(np.median([min(item.size) for item in readable]))
    many_long = Counter(_is_long(item.size) for item in readable)[True] > len(readable) / 2
    for item in readable:
        short = min(item.size)
        if item.is_flat:
            yield item, CLEAR if item.clear else "of one single colour, as the model gets it"
        elif item.brightness <= _DARK:
            yield item, "nearly black"
        elif item.brightness >= _BRIGHT:
            yield item, "nearly white"
        elif short < _TINY * usual:
            yield item, f"only {item.size[0]}x{item.size[1]}; the usual short side is {usual:.0f}"
        elif _is_long(item.size) and not many_long:
            yield item, f"{item.size[0]}x{item.size[1]}, more than {_LONG:.0f} times as long as wide"


def _is_long(size: tuple[int, int]) -> bool:
    return max(size) > _LONG * min(size)
