"""Colour and transparency of decoded images: ICC profiles -> sRGB, alpha -> a stated background. Imports no torch."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from hardener.data.levels import is_gray

_LARGEST_PROFILE = 4 << 20  # bytes; those of printing presses have one or two million
_SAME = 2  # levels by which a profile may differ from sRGB and still be it
_SPACES = ("RGB", "L", "CMYK")


@functools.lru_cache(maxsize=16)
def to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | str | None:
    """Return what turns pixels of a mode, RGB, L or CMYK, into sRGB.

    Returns:
        None where it would change nothing; where the profile cannot be used, the reason.
    """
    if len(profile) > _LARGEST_PROFILE:
        return f"it has {len(profile):,} bytes"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        return str(error)
    if mode == "CMYK":
        return transform
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    grid = steps[:, None] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 16, 3)
    shown = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), transform)).astype(int)
    asked = grid[:, :, None] if mode == "L" else grid
    return None if np.abs(shown - asked).max() <= _SAME else transform


def profile_of(image: Image.Image) -> ImageCms.ImageCmsTransform | str | None:
    """Return what `to_srgb` says of an opened image's profile; None where it has none, or colours that need none."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode in {"LAB", "1", "HSV"}:
        return None
    return to_srgb(profile, image.mode if image.mode in _SPACES else "L" if is_gray(image) else "RGB")


def shows_through(image: Image.Image) -> bool:
    """Say whether an image has transparent pixels, or may have."""
    return image.has_transparency_data


def in_srgb(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """Convert the colours of an image, RGB, L, CMYK, LA or RGBA, to sRGB; alpha stays."""
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
    if alpha is not None:
        image = image.convert("L" if image.mode == "LA" or transform.input_mode == "L" else "RGB")
    shown = ImageCms.applyTransform(image, transform)
    assert shown is not None, "it is not done in place"
    if alpha is not None:
        shown.putalpha(alpha)
    return shown


def on_background(image: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    """Lay an RGBA image over a colour."""
    canvas = Image.new("RGB", image.size, color)
    canvas.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return canvas
