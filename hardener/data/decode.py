"""Bytes of an image file -> a uint8 array. Imports no torch: training and serving decode with this one function."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from hardener.errors import BadImage, ImageTooLarge, UnknownFormat

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
RESIZE_RULE = "cover-center-bilinear"
MAX_PIXELS = 100_000_000
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Read an image's header; no pixel is decoded.

    Raises:
        UnknownFormat: empty, or not one of `formats`.
        ImageTooLarge: more than `max_pixels`.
        BadImage: the header is broken.
    """
    if not data:
        raise UnknownFormat("the file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning; the check below decides
            image = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError:
        raise UnknownFormat(f"not an image of a known format ({', '.join(formats)})") from None
    except Image.DecompressionBombError:
        raise ImageTooLarge(f"more than {max_pixels:,} pixels") from None
    except Exception as error:  # Pillow's parsers raise nearly anything on a broken header
        raise BadImage(f"truncated or damaged in its header ({type(error).__name__}: {error})") from None
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(f"{width} x {height} pixels; at most {max_pixels:,} are read")
    return image


def decode_image(
    data: bytes,
    *,
    height: int,
    width: int,
    channels: int,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
) -> NDArray[np.uint8]:
    """Decode an image file and bring it to the model's input size; see `open_image` and `to_input`."""
    image = open_image(data, max_pixels=max_pixels, formats=formats)
    return to_input(image, height=height, width=width, channels=channels)


def to_input(image: Image.Image, *, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Decode an opened image and bring it to the model's input size.

    The image is turned as its EXIF orientation says, scaled (bilinear with antialiasing, aspect kept) until it
    covers the target, and cropped at the centre. An image that already has the target size is not touched.

    Args:
        image: from `open_image`; of an animation, the first frame is read.
        height, width: of the result, in pixels.
        channels: 1 (gray) or 3 (RGB).
    Returns:
        (height, width, channels), uint8.
    Raises:
        BadImage: a truncated or damaged file.
    """
    return to_input_with_size(image, height=height, width=width, channels=channels)[0]


def to_input_with_size(
    image: Image.Image, *, height: int, width: int, channels: int
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Do as `to_input` does, and say how large the image was.

    Returns:
        What `to_input` returns; and the file's width and height in pixels, once it is turned the right way up.
    """
    size = image.size
    try:
        if image.format == "JPEG" and channels == 3 and image.mode != "CMYK":
            image.draft("RGB", (2 * width, 2 * height))  # decode at 1/2 .. 1/8 size; never below twice the target
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd EXIF; the pixels are what counts
            image.load()
            if image.getexif().get(ExifTags.Base.Orientation, 1) in _SIDEWAYS:
                size = size[::-1]
            ImageOps.exif_transpose(image, in_place=True)  # a copy of 50 megapixels would be 200 MB more
    except Exception as error:  # as above: decoders raise nearly anything
        raise BadImage(f"truncated or damaged ({type(error).__name__}: {error})") from None
    image = _eight_bit(image, channels)
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR, centering=(0.5, 0.5))
    array = np.asarray(image, dtype=np.uint8)
    return (array[:, :, None] if channels == 1 else array), size


def has_color(image: Image.Image) -> bool:
    """Say from the header whether an image may hold colour."""
    return image.mode not in {"1", "L", "LA", "La", "I", "F"} and not image.mode.startswith("I;16")


def _eight_bit(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image).astype(np.int64)  # convert("L") would clip 16-bit gray to white
        image = Image.fromarray((np.clip(levels, 0, 65535) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise BadImage("32-bit float pixels have no known range; save the image with 8 or 16 bits")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)  # to convert to its own mode would be a copy
