"""Numbers as people of the field write them: `8/255`, `0.03`, `1e-3`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from hardener.errors import HardenerError


def parse_quantity(text: str | float, name: str = "") -> float:
    """Turn `8/255` or `0.03` into a float.

    Args:
        name: of the option, for the message.
    Raises:
        HardenerError: the text is no finite number and no fraction of two.
    """
    start = f"{name}: " if name else ""
    if isinstance(text, bool):
        raise HardenerError(f"{start}expected a number such as 8/255 or 0.03; got {text!r}.")
    try:
        numerator, _, denominator = str(text).partition("/")
        value = float(numerator) / (float(denominator) if denominator else 1.0)
    except (ValueError, ZeroDivisionError):
        raise HardenerError(f"{start}expected a number such as 8/255 or 0.03; got {text!r}.") from None
    if not math.isfinite(value):
        raise HardenerError(f"{start}expected a finite number such as 8/255 or 0.03; got {text!r}.")
    return value


def asked_radii(texts: Iterable[str | float]) -> tuple[float, ...]:
    """Turn radii to certify at into numbers, each once and ascending.

    Raises:
        HardenerError: one is no number, or below 0.
    """
    radii = sorted({parse_quantity(text, "radius") for text in texts})
    if radii and radii[0] < 0:
        raise HardenerError(f"--radius must be >= 0: it is an l2 length, in pixels of [0, 1]; got {radii[0]:g}.")
    return tuple(radii)


def parse_duration(text: str) -> float:
    """Turn `2h`, `90m`, `1h30m`, `45s` or `3600` into seconds.

    Raises:
        HardenerError: it is none of these, or nothing.
    """
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    seconds = (
        sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    )
    if not 0 < seconds < LARGEST_DURATION_S:
        raise HardenerError(f"a time is 2h, 90m, 1h30m or 45s; got {text!r}.")
    return seconds


LARGEST_DURATION_S = 1e9
LARGEST_SIDE = 1 << 16
LARGEST_NOISE_SIGMA = 1000.0  # of pixels in [0, 1]


def parse_image_size(value: object) -> tuple[int, int]:
    """Turn `224`, `48x64` or [48, 64] into (height, width).

    Raises:
        HardenerError: not one or two whole numbers in [1, LARGEST_SIDE].
    """
    parts: list[object] = [value]
    if isinstance(value, str):
        parts = [int(part) if part.strip().isdecimal() else part for part in value.lower().split("x") if len(part) < 20]
    elif isinstance(value, list | tuple):
        parts = list(value)
    sizes = [part for part in parts if isinstance(part, int) and not isinstance(part, bool)]
    if len(sizes) != len(parts) or len(sizes) not in {1, 2} or not all(1 <= size <= LARGEST_SIDE for size in sizes):
        raise HardenerError(f"an image size is 224, or HEIGHTxWIDTH such as 48x64; got {value!r}.")
    return sizes[0], sizes[-1]
