"""What lies in boxes on images -> images of their own, with all that the loader needs to read them as it reads others:
levels of more than 8 bits, transparency, and the right way up."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps

from hardener.data.brought import SplitName
from hardener.data.colors import in_srgb, profile_of, shows_through
from hardener.data.completeness import see_that_it_is_whole
from hardener.data.conversions._made import Made, Skipped, as_png
from hardener.data.decode import SIDEWAYS, open_image, upright
from hardener.data.levels import Deep, is_deep
from hardener.errors import BadImage, HardenerError

_LEAST = 8  # pixels of a box's short side
_COLOR_TYPES = {1: 0, 3: 2, 4: 6}  # of PNG, by channels
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda levels: np.rot90(levels, 2),
    4: np.flipud,
    5: lambda levels: levels.swapaxes(0, 1),
    6: lambda levels: np.rot90(levels, -1),
    7: lambda levels: np.rot90(levels, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""What turns pixels the right way up, by EXIF's orientation."""


@dataclass(frozen=True)
class Box:
    """A class, and where in the image it is, in pixels."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


def size_of(file: Path) -> tuple[int, int]:
    """Return the width and height of an image the right way up; its header is read.

    Raises:
        HardenerError: it cannot be read.
    """
    image, data = _opened(file)
    return image.size[::-1] if _orientation(data) in SIDEWAYS else image.size


def cut_out(
    file: Path, boxes: list[Box], split: SplitName | None, name: str, frame: tuple[int, int] | None = None
) -> Iterator[Made | Skipped]:
    """Yield what lies in each box of an image; a box of fewer than 8 pixels is passed over.

    Args:
        frame: width and height of the image as the boxes have it. They tell whether the boxes count on the image as
            it is stored; else they count on it the right way up, as programs show it.
    Raises:
        HardenerError: the image cannot be read.
    """
    image, data = _opened(file)
    orientation = _orientation(data)
    if orientation in SIDEWAYS and frame == image.size:
        boxes = [_turned_box(box, orientation, *image.size) for box in boxes]
    try:
        as_stored = is_deep(image) and "transparency" not in image.info
        picture = _deep(image, data, orientation) if as_stored else _colors(image, data)
    except Exception as error:  # decoders raise nearly anything on a damaged file
        raise _unread(file, error) from None
    for number, box in enumerate(boxes):
        left, top = max(0, round(box.left)), max(0, round(box.top))
        right, bottom = min(picture.width, round(box.right)), min(picture.height, round(box.bottom))
        if min(right - left, bottom - top) < _LEAST:
            yield Skipped("boxes of fewer than 8 pixels", f"{name}, box {number + 1}")
        else:
            ending, cut = picture.part(left, top, right, bottom)
            yield Made(split, box.label, f"{name}_{number}", ending, cut)


def _turned_box(box: Box, orientation: int, width: int, height: int) -> Box:
    """Return where a box on an image as it is stored lies on it the right way up."""
    across = [box.top, box.bottom] if orientation in (5, 8) else [height - box.bottom, height - box.top]
    down = [box.left, box.right] if orientation in (5, 6) else [width - box.right, width - box.left]
    return Box(box.label, across[0], down[0], across[1], down[1])


@dataclass(frozen=True)
class _Colors:
    """Pixels of 8 bits, the right way up: colours of sRGB, with alpha where there is any."""

    image: Image.Image

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height

    def part(self, left: int, top: int, right: int, bottom: int) -> tuple[str, bytes]:
        """Return what lies in a box: a file's ending and its bytes."""
        return ".png", as_png(self.image.crop((left, top, right, bottom)))


@dataclass(frozen=True)
class _Levels:
    """Deep pixels, the right way up, as they are stored: the loader scales them by the levels of all images."""

    levels: NDArray[Any]
    profile: bytes | None

    @property
    def width(self) -> int:
        return int(self.levels.shape[1])

    @property
    def height(self) -> int:
        return int(self.levels.shape[0])

    def part(self, left: int, top: int, right: int, bottom: int) -> tuple[str, bytes]:
        """Return what lies in a box: a file's ending and its bytes."""
        levels = self.levels[top:bottom, left:right]
        if levels.dtype.kind == "u" and levels.dtype.itemsize == 2:
            return ".png", _deep_png(levels, self.profile)
        whole = levels.dtype.kind in "iu" and (not levels.size or int(levels.max()) < 1 << 31)
        file = io.BytesIO()
        image = Image.fromarray(levels.astype(np.int32 if whole else np.float32))
        image.save(file, "TIFF", **({"icc_profile": self.profile} if self.profile else {}))
        return ".tif", file.getvalue()


def _colors(image: Image.Image, data: bytes) -> _Colors:
    if not shows_through(image):
        return _Colors(upright(image, (max(image.size), max(image.size))))
    transform = profile_of(image)
    image.load()
    see_that_it_is_whole(image, data)
    shown = ImageOps.exif_transpose(image).convert("RGBA")
    return _Colors(in_srgb(shown, transform) if isinstance(transform, ImageCms.ImageCmsTransform) else shown)


def _deep(image: Image.Image, data: bytes, orientation: int) -> _Levels:
    deep = Deep(image)
    see_that_it_is_whole(deep.image, data)
    levels = np.concatenate([strip for _, strip in deep.strips()])
    return _Levels(_TURNS.get(orientation, np.asarray)(levels), image.info.get("icc_profile"))


def _deep_png(levels: NDArray[Any], profile: bytes | None) -> bytes:
    """Return a PNG file of 16 bits a sample, which Pillow writes of gray levels alone."""
    height, width, *rest = levels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, _COLOR_TYPES[rest[0] if rest else 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if profile:
        chunks.insert(1, (b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    parts = [
        struct.pack(">I", len(own)) + kind + own + struct.pack(">I", zlib.crc32(kind + own)) for kind, own in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _orientation(data: bytes) -> int:
    """Return how EXIF says that an image is to be turned. Of a PNG without any, Pillow would decode all to know."""
    image = open_image(data)
    if image.format == "PNG" and not any(mark in data for mark in (b"eXIf", b"Raw profile type", b"com.adobe.xmp")):
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd EXIF; the pixels are what counts
        try:
            found = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # of damaged EXIF nearly anything
            return 1
    return found if isinstance(found, int) else 1


def _opened(file: Path) -> tuple[Image.Image, bytes]:
    try:
        data = file.read_bytes()
        return open_image(data), data
    except (BadImage, OSError) as error:
        raise _unread(file, error) from None


def _unread(file: Path, error: Exception) -> HardenerError:
    return HardenerError(f"{file} cannot be read: {error}. Mend it, or take it out of the list.")
