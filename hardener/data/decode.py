"""Bytes of an image file -> a uint8 array, for training, evaluation, export and serving alike. Imports no torch."""

from __future__ import annotations

import functools
import importlib
import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from hardener.config.pixels import Fit, PixelRule
from hardener.data.colors import in_srgb, on_background, profile_of, shows_through
from hardener.data.completeness import see_that_it_is_whole
from hardener.data.file_kind import is_heic, reads_heic
from hardener.data.levels import Deep, is_deep
from hardener.data.pieces import count_scans, see_that_scans_are_few
from hardener.errors import BadImage, ImageTooLarge, UnknownFormat

_HEIC = "HEIF"
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", _HEIC)
MAX_PIXELS = 100_000_000
STANDARD = PixelRule()
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Read an image's header; no pixel is decoded.

    Raises:
        UnknownFormat: empty, or not one of `formats`.
        ImageTooLarge: more than `max_pixels`, or a JPEG file that goes over them too often.
        BadImage: the header is broken, or the file is made of too many pieces.
    """
    if not data:
        raise UnknownFormat("the file is empty (0 bytes)")
    usable = formats if is_heic(data) and reads_heic() else tuple(kind for kind in formats if kind != _HEIC)
    if _HEIC in usable:
        _open_heic()
    scans = count_scans(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning; the check below decides
            image = Image.open(io.BytesIO(data), formats=usable)
    except UnidentifiedImageError:
        raise UnknownFormat(_unknown(data, formats)) from None
    except Image.DecompressionBombError:
        raise ImageTooLarge(f"more than {max_pixels:,} pixels") from None
    except Exception as error:  # Pillow's parsers raise nearly anything on a broken header
        raise BadImage(f"truncated or damaged in its header ({type(error).__name__}: {error})") from None
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(f"{width} x {height} pixels; at most {max_pixels:,} are read")
    see_that_scans_are_few(scans, width, height)
    return image


@functools.cache
def _open_heic() -> None:
    """Teach Pillow to read HEIC images; by name, since the service has no such package, and reads none."""
    importlib.import_module("pillow_heif").register_heif_opener()


def _unknown(data: bytes, formats: tuple[str, ...]) -> str:
    """Say what is wrong with bytes that no decoder takes."""
    if data[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"} and "TIFF" in formats:
        return "a TIFF of a layout that is not read; save it as 8, 16 or 32 bit, one or three channels"
    if data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, and not the image itself; git lfs pull, in its repository, fetches that"
    if data[:256].lstrip()[:9].lower() in {b"<!doctype", b"<html>"} or data[:256].lstrip()[:5].lower() == b"<html":
        return "a page of HTML: what a server answered in place of the image; fetch it again"
    if is_heic(data) and _HEIC in formats:
        if reads_heic():
            return "a HEIC image that is truncated or damaged"
        return "a HEIC image; pip install 'hardener[heic]' brings what reads it"
    return f"not an image of a known format ({', '.join(formats)})"


def decode_image(
    data: bytes,
    *,
    height: int,
    width: int,
    channels: int,
    rule: PixelRule = STANDARD,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
) -> NDArray[np.uint8]:
    """Decode an image file and bring it to the model's input; see `open_image` and `to_input`."""
    image = open_image(data, max_pixels=max_pixels, formats=formats)
    return to_input(image, height=height, width=width, channels=channels, rule=rule)


def to_input(
    image: Image.Image, *, height: int, width: int, channels: int, rule: PixelRule = STANDARD
) -> NDArray[np.uint8]:
    """Decode an opened image and bring it to the model's input.

    The image is turned as its EXIF orientation says. Pixels of more than 8 bits are scaled by the rule's range. The
    image is brought to size (bilinear with antialiasing) as the rule's fit says; one that already has the target size
    is not touched. Colours are converted to sRGB by the file's profile, where it has one that can be used. Transparent
    pixels are laid over the rule's background; the colours that they hide play no part.

    Args:
        image: from `open_image`; of an animation, or of several pages, the first is read.
        height, width: of the result, in pixels.
        channels: 1 (gray) or 3 (RGB).
    Returns:
        (height, width, channels), uint8.
    Raises:
        BadImage: a truncated or damaged file, or float pixels where the rule names no range.
    """
    return to_input_with_size(image, height=height, width=width, channels=channels, rule=rule)[0]


def to_input_with_size(
    image: Image.Image, *, height: int, width: int, channels: int, rule: PixelRule = STANDARD
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Do as `to_input` does, and say how large the image was.

    Returns:
        What `to_input` returns; and the file's width and height in pixels, once it is turned the right way up.
    """
    transform = profile_of(image) if rule.profiles else None
    shown, size = _loaded(image, rule, draft=(2 * width, 2 * height) if channels == 3 else None)
    try:
        found = _brought(shown, (width, height), rule, transform, channels)
    except (ValueError, OSError) as error:  # what Pillow says to a conversion that it does not know
        raise BadImage(f"mode {shown.mode} cannot be converted ({error})") from None
    array = np.asarray(found, dtype=np.uint8)
    return (array[:, :, None] if channels == 1 else array), size


def upright(image: Image.Image, most: tuple[int, int], rule: PixelRule = STANDARD) -> Image.Image:
    """Decode an opened image to RGB for people to look at: whole, no larger than `most` (width and height).

    Deep pixels are scaled by the rule's range, else by their own.

    Raises:
        BadImage: a truncated or damaged file.
    """
    transform = profile_of(image) if rule.profiles else None
    shown, _ = _loaded(image, rule, draft=(2 * most[0], 2 * most[1]), own_range=True)
    factor = min(1, most[0] / shown.width, most[1] / shown.height)
    size = max(1, round(shown.width * factor)), max(1, round(shown.height * factor))
    try:
        return _brought(shown, size, rule.model_copy(update={"fit": "stretch"}), transform, 3)
    except (ValueError, OSError) as error:
        raise BadImage(f"mode {shown.mode} cannot be converted ({error})") from None


def _loaded(
    image: Image.Image, rule: PixelRule, *, draft: tuple[int, int] | None, own_range: bool = False
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an image, turn it the right way up, and scale it to 8 bits; return its whole size too."""
    size = image.size
    fp = getattr(image, "fp", None)
    data = fp.getvalue() if isinstance(fp, io.BytesIO) else b""
    if draft is not None and image.format == "JPEG" and image.mode != "CMYK":
        image.draft("RGB", draft)  # decode at 1/2 .. 1/8 size; never below twice the target
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd EXIF; the pixels are what counts
            if is_deep(image):
                deep = Deep(image)
                see_that_it_is_whole(deep.image, data)
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
                shown = deep.scaled(deep.ends() if own_range and rule.range is None else rule.range)
                if shown is not image:
                    shown.getexif()[ExifTags.Base.Orientation] = orientation
            else:
                image.load()
                see_that_it_is_whole(image, data)
                shown = image
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            if orientation in SIDEWAYS:
                size = size[::-1]
            ImageOps.exif_transpose(shown, in_place=True)  # a copy of 50 megapixels would be 200 MB more
    except BadImage:
        raise
    except Exception as error:  # as above: decoders raise nearly anything
        raise BadImage(f"truncated or damaged ({type(error).__name__}: {error})") from None
    return shown, size


def _brought(
    image: Image.Image,
    size: tuple[int, int],
    rule: PixelRule,
    transform: ImageCms.ImageCmsTransform | str | None,
    channels: int,
) -> Image.Image:
    """Bring decoded pixels of 8 bits to size and mode.

    Colours are converted, and transparency is laid over the background, once the image is small. Pillow scales
    premultiplied colours, so what is hidden does not bleed.
    """
    mode = "L" if channels == 1 else "RGB"
    if rule.background is not None and shows_through(image):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif not isinstance(transform, ImageCms.ImageCmsTransform):
        image = _converted(image, mode)
    elif image.mode != transform.input_mode:
        image = image.convert(transform.input_mode)
    image = _scaled(image, size, rule.fit)
    if isinstance(transform, ImageCms.ImageCmsTransform):
        image = in_srgb(image, transform)
    if image.mode in {"LA", "RGBA"}:
        assert rule.background is not None, "else it is converted above"
        image = on_background(image, rule.background)
    image = _converted(image, mode)
    if image.size == size:
        return image
    canvas = Image.new("RGB", size, rule.background or (0, 0, 0)).convert(mode)
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image  # to convert to its own mode would be a copy
    if image.mode in {"LAB", "HSV"} and mode == "L":
        image = image.convert("RGB")  # the only way that Pillow knows
    return image.convert(mode)


def _scaled(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Scale an image; to `size`, or with `letterbox` as far as it fits in."""
    if image.size == size:
        return image
    how = Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(image, size, method=how, centering=(0.5, 0.5))
    if fit == "stretch":
        return image.resize(size, how)
    factor = min(size[0] / image.width, size[1] / image.height)
    inside = [min(max(1, round(own * factor)), most) for own, most in zip(image.size, size, strict=True)]
    return image.resize((inside[0], inside[1]), how)
