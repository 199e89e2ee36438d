"""What decoding an image takes of memory, told from its header alone, and never too little. Imports no torch."""

from __future__ import annotations

import io

from PIL import ExifTags, Image

from hardener.config.pixels import PixelRule
from hardener.data.colors import shows_through
from hardener.data.levels import is_deep

_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""A pixel of Pillow's images takes these bytes; of the other modes four."""
_ROW = 8  # of a row, the pointer to it
_STRIPS = 64 << 20  # what deep pixels take beside the image while a strip of them is scaled
_BESIDE = 4 << 20  # the file's own buffers, tables, and the model's input
_CANVASES = 16  # bytes a pixel of libwebp's canvas, the one before it, what it hands out, and its own work


def decode_bytes(image: Image.Image, *, height: int, width: int, channels: int, rule: PixelRule) -> int:
    """Return an upper bound of the bytes that `to_input` holds at once, beside the file, for an opened image.

    `bench/serving/decode_memory.py` compares it with what fresh processes were seen to take.

    Args:
        image: from `open_image`.
        height, width, channels, rule: as `to_input` takes them.
    """
    columns, rows = image.size
    pixels = columns * rows
    own = _BYTES.get(image.mode, 4)
    held, loading = _BESIDE, 0  # beside the pixels: all the time, and while the file is read
    if image.format == "WEBP":
        held += _CANVASES * pixels
    elif image.format == "JPEG":
        loading = 2 * len(image.getbands()) * pixels  # a file of several scans: coefficients of the whole size
        if channels == 3 and image.mode != "CMYK":
            scale = _drafted(columns, rows, 2 * width, 2 * height)
            columns, rows = -(-columns // scale), -(-rows // scale)
            pixels = columns * rows
    elif image.format == "TIFF":
        loading = 2 * own * pixels  # a strip may be the whole image
    elif image.format == "BMP":
        loading = pixels  # of a run-length encoded one, all pixels as bytes
    sides = max(rows, columns)

    def picture(size: int) -> int:
        return pixels * size + sides * _ROW

    if is_deep(image):
        held += picture(4) + _STRIPS  # the high bytes, or what is scaled
        own = max(own, 4 if len(image.getbands()) > 1 else 1)
    if image.format == "JPEG":
        loading += picture(own) + 2 * _file_bytes(image)  # a second time, to see that it is whole
    turning = picture(own) if _is_turned(image) else 0
    bringing = 4 * (width * sides + height * sides)  # scaled in one direction
    if rule.background is not None and shows_through(image):
        bringing += 2 * picture(4)  # with alpha, and multiplied by it
    elif image.mode not in {"L", "RGB"} or (channels == 1) != (image.mode == "L") or image.info.get("icc_profile"):
        bringing += picture(4 if channels == 3 or image.info.get("icc_profile") else 1)
    return held + picture(own) + max(loading, turning, bringing)


def _drafted(columns: int, rows: int, width: int, height: int) -> int:
    """Return by how much Pillow's JPEG decoder scales an image down that has to be at least this large."""
    most = min(columns // width, rows // height)
    return next(scale for scale in (8, 4, 2, 1) if most >= scale or scale == 1)


def _file_bytes(image: Image.Image) -> int:
    file = getattr(image, "fp", None)
    return file.getbuffer().nbytes if isinstance(file, io.BytesIO) else 0


def _is_turned(image: Image.Image) -> bool:
    if image.format == "PNG":
        return True  # its EXIF entry may stand behind the pixels, and to ask for it would decode them
    try:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
    except Exception:  # Pillow's parsers raise nearly anything on broken EXIF
        return True
