"""Pixels of more than 8 bits: told apart, read without loss, scaled to 8 bits by a range. Imports no torch."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardener.errors import BadImage

_STRIP = 1 << 20  # pixels that are scaled at a time: a few megabytes beside the image
_BITS, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339  # TIFF tags
_WHITE_IS_ZERO, _PLANES_APART, _SIGNED = 0, 2, 2
_NATIVE = {"I;16BS": "I;16S", "I;32BS": "I;32S", "F;32BF": "F;32F", "F;64BF": "F;64F"}
SHALLOW = {"1 bit", "8 bit"}
FLOAT = "float"


def depth_of(image: Image.Image) -> str:
    """Say from the header how finely pixels are stored: `1 bit`, `8 bit`, `16 bit`, `signed 16 bit`, `float` ….

    Samples that share a byte count as 8 bits, since they are read as such.
    """
    if image.mode == "F":
        return FLOAT
    bits = _tag(image, _BITS)
    signed = "signed " if _SIGNED in _tag(image, _SAMPLE_FORMAT) else ""
    if bits and (max(bits) > 8 or signed):
        return f"{signed}{max(bits)} bit"
    if image.mode.startswith("I") or ";16" in _raw_mode(image):
        return "16 bit"
    return "1 bit" if image.mode == "1" else "8 bit"


def is_deep(image: Image.Image) -> bool:
    """Say from the header whether pixels hold more, or other, values than 0 to 255; what is to be printed does not."""
    return depth_of(image) not in SHALLOW and image.mode != "CMYK"


def is_gray(image: Image.Image) -> bool:
    """Say from the header that an image holds no colour; gray with alpha of 16 bits each, Pillow gives as RGBA."""
    gray = image.mode in {"1", "L", "LA", "La", "I", "F"} or image.mode.startswith("I;16")
    return gray or _raw_mode(image) == "LA;16B"


class Deep:
    """An opened image whose pixels are deep. It is decoded when it is made.

    Attributes:
        image: what Pillow makes of it: gray levels, or of a colour image the high bytes.
    """

    def __init__(self, image: Image.Image) -> None:
        """Decode an image that was opened and not loaded; its decoder raises nearly anything."""
        self.depth = depth_of(image)
        self.image = image
        self._is_negative = image.mode.startswith("I;16") and _WHITE_IS_ZERO in _tag(image, _PHOTOMETRIC)
        self._is_premultiplied = _raw_mode(image).startswith("RGBa")
        if self._is_premultiplied:
            _read_as(image, _raw_mode(image).replace("RGBa", "RGBA"))
        if sys.byteorder == "little" and _is_read_by_libtiff(image):  # it gives all in the machine's order
            _read_as(image, _NATIVE.get(_raw_mode(image), _raw_mode(image)))
        self._low = _low_bytes(image)
        image.load()
        self._clear: Any = image.info.get("transparency")  # the level that stands for nothing, or one of each channel

    def strips(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first row and the levels, (rows, W) or (rows, W, C), from top to bottom; alpha is a channel."""
        width, height = self.image.size
        rows = max(1, _STRIP // max(width, 1))
        for top in range(0, height, rows):
            box = (0, top, width, min(top + rows, height))
            levels: NDArray[Any] = np.asarray(self.image.crop(box))
            if self._low is not None:
                levels = levels.astype(np.uint16) << 8 | np.asarray(self._low.crop(box))
            elif self.depth in {"signed 8 bit", "32 bit"}:
                levels = levels.view(np.int8 if levels.dtype == np.uint8 else np.uint32)
            if self._is_premultiplied:
                levels = _divided(levels)
            yield top, 65535 - levels if self._is_negative else levels

    def colors(self, levels: NDArray[Any]) -> NDArray[Any]:
        """Return levels without the alpha channel."""
        return levels[:, :, :3] if levels.ndim == 3 else levels

    def scaled(self, ends: tuple[float, float] | None) -> Image.Image:
        """Return an image of 8 bits, with alpha where this one has any.

        Args:
            ends: the levels that become 0 and 255, those beyond are clipped; None: the whole range of 16 bits.
        Raises:
            BadImage: a float image without `ends`.
        """
        if ends is None and self.depth == FLOAT:
            low, high = self.ends()
            raise BadImage(
                f"32-bit float pixels, here from {low:.6g} to {high:.6g}, have no known range; training takes "
                "--range LO,HI"
            )
        if ends is None and self._low is not None and self._clear is None:
            return self.image
        width, height = self.image.size
        found: Image.Image | None = None
        for top, levels in self.strips():
            part = Image.fromarray(self._with_alpha(levels, ends))
            if found is None:
                found = Image.new(part.mode, (width, height))
            found.paste(part, (0, top))
        assert found is not None, "an image has rows"
        return found

    def ends(self) -> tuple[float, float]:
        """Return the lowest and the highest level, nan and infinity left out; nan where there is no other."""
        low, high = np.inf, -np.inf
        for _, levels in self.strips():
            known = self.colors(levels)
            known = known[np.isfinite(known)]
            if known.size:
                low, high = min(low, float(known.min())), max(high, float(known.max()))
        return (low, high) if low <= high else (np.nan, np.nan)

    def _with_alpha(self, levels: NDArray[Any], ends: tuple[float, float] | None) -> NDArray[np.uint8]:
        colors = self.colors(levels)
        shown = to_bytes(colors, ends)
        if levels.ndim == 3 and levels.shape[2] == 4:
            return np.dstack([shown, (levels[:, :, 3] >> 8).astype(np.uint8)])
        if self._clear is None:
            return shown
        known = (colors.reshape(*colors.shape[:2], -1) != np.asarray(self._clear)).any(axis=2)
        rgb = np.repeat(shown[:, :, None], 3, axis=2) if shown.ndim == 2 else shown
        return np.dstack([rgb, np.where(known, 255, 0).astype(np.uint8)])


def to_bytes(levels: NDArray[Any], ends: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Scale levels so that `ends` become 0 and 255; None: take the high byte of 16 bits. What is no number is 0."""
    if ends is None:
        return (np.clip(levels.astype(np.int64), 0, 65535) >> 8).astype(np.uint8)
    low, high = ends
    if not low < high:  # all of one level, or no number
        return np.zeros(levels.shape, np.uint8)
    share = (np.nan_to_num(levels.astype(np.float64), nan=low) - low) * (255 / (high - low))
    return np.rint(np.clip(share, 0, 255)).astype(np.uint8)


def _divided(levels: NDArray[Any]) -> NDArray[np.uint16]:
    """Divide premultiplied colours of 16 bits, (H, W, 4), by their alpha."""
    alpha = levels[:, :, 3:].astype(np.int64)
    colors = np.minimum(levels[:, :, :3] * 65535 // np.maximum(alpha, 1), 65535)
    return np.concatenate([colors, alpha], axis=2).astype(np.uint16)


def _low_bytes(image: Image.Image) -> Image.Image | None:
    """Open an image of 16 bits a colour again, so that its pixels are the low bytes; Pillow shows the high ones.

    Pillow unpacks 16 bits to 8 by leaving a byte out. The unpacker of the other byte order leaves out the other one.
    """
    raw = _raw_mode(image)
    if image.mode not in {"RGB", "RGBA"} or not is_deep(image):
        return None
    if _PLANES_APART in _tag(image, _PLANES) or ";16" not in raw:
        raise BadImage(f"{depth_of(image)} colours whose planes lie apart are not read; save the channels interleaved")
    fp = getattr(image, "fp", None)
    assert isinstance(fp, io.BytesIO), "open_image reads from memory"
    again = Image.open(io.BytesIO(fp.getvalue()), formats=[image.format or ""])
    if raw == "LA;16B":  # as four channels its bytes come as they are: high, low, high, low
        _read_as(again, "RGBA")
        again.load()
        _, level, _, alpha = again.split()
        return Image.merge("RGBA", (level, level, level, alpha))
    big = raw.endswith("B") or (raw.endswith("N") and sys.byteorder == "big")
    _read_as(again, f"{raw[:-1]}{'L' if big else 'B'}")
    again.load()
    return again


def _read_as(image: Image.Image, raw: str) -> None:
    """Have an opened image's samples unpacked as another layout of the same size."""
    tiles = getattr(image, "tile", [])
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(args=raw if isinstance(tile.args, str) else (raw, *tile.args[1:])) for tile in tiles
    ]


def _is_read_by_libtiff(image: Image.Image) -> bool:
    tiles = getattr(image, "tile", None) or []
    return any(tile.codec_name == "libtiff" for tile in tiles)


def _raw_mode(image: Image.Image) -> str:
    """Return how Pillow calls the layout of the file's samples; empty where it does not say, or has one of each."""
    tiles = getattr(image, "tile", None) or []
    args = tiles[0].args if tiles else ""
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else ""


def _tag(image: Image.Image, tag: int) -> tuple[int, ...]:
    """Return what a TIFF file says; empty where it is none, or says nothing."""
    found = getattr(image, "tag_v2", {}).get(tag, ())
    return found if isinstance(found, tuple) else (found,)
