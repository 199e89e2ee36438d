"""How an image file becomes a model's input: one value in the run, the bundle and the service. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hardener.errors import HardenerError

Fit = Literal["crop", "letterbox", "stretch"]
Level = Annotated[int, Field(ge=0, le=255)]
Rgb = tuple[Level, Level, Level]
WHITE: Rgb = (255, 255, 255)
RESIZE_RULES: dict[Fit, str] = {
    "crop": "cover-center-bilinear",
    "letterbox": "contain-center-bilinear",
    "stretch": "stretch-bilinear",
}
"""What a bundle calls each way to bring an image to size."""
MOST_PIECES = 10_000
"""Segments of a JPEG or chunks of a PNG file; a file of more bytes may have one each 1,024 of them."""
MOST_SCANS = 100
"""Scans of a JPEG file; usual ones have 1 to 18."""


class PixelRule(BaseModel):
    """What is done to the pixels of an image on their way to the model.

    Attributes:
        fit: how an image of another shape is brought to size. `crop`: scaled until it covers the size, cut at the
            centre; `letterbox`: scaled until it fits in, bars at the sides; `stretch`: each side scaled on its own.
        background: the colour under transparent pixels and of the bars; None: transparency is dropped, bars are black.
        profiles: whether colours are converted to sRGB by the file's ICC profile.
        range: the values of pixels with more than 8 bits that become 0 and 255; None: the whole range of 16 bits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fit: Fit = "crop"
    background: Rgb | None = WHITE
    profiles: bool = True
    range: tuple[float, float] | None = None

    @field_validator("range")
    @classmethod
    def _in_order(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends is not None and not (ends[0] < ends[1] and math.isfinite(ends[1] - ends[0])):
            raise ValueError(f"two finite numbers, the lower one first; got {ends[0]:g} and {ends[1]:g}")
        return ends

    @property
    def resize(self) -> str:
        """What a bundle calls the way to bring an image to size."""
        return RESIZE_RULES[self.fit]


BEFORE = PixelRule(background=None, profiles=False)
"""The rule of version 0.1: its runs and bundles were trained on such pixels and name no rule."""


def parse_color(value: Any) -> Rgb:
    """Turn `white`, `#ff8000`, `255,128,0` or [255, 128, 0] into (red, green, blue).

    Raises:
        HardenerError: none of these.
    """
    parts: Sequence[Any] = (
        value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    )
    if len(parts) == 3:
        try:
            red, green, blue = (int(part) for part in parts)
        except (ValueError, TypeError):
            pass
        else:
            if all(0 <= level <= 255 for level in (red, green, blue)):
                return red, green, blue
    elif isinstance(value, str):
        from PIL import ImageColor

        try:
            return ImageColor.getcolor(value, "RGB")  # type: ignore[return-value]
        except ValueError:
            pass
    raise HardenerError(f"a colour is a name such as white, black or gray, or R,G,B such as 255,128,0; got {value!r}.")


def parse_range(value: Any) -> tuple[float, float]:
    """Turn `0,4095` or [0, 4095] into (low, high).

    Raises:
        HardenerError: not two finite numbers, the lower one first.
    """
    parts: Sequence[Any] = (
        value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    )
    try:
        low, high = (float(part) for part in parts)
    except (ValueError, TypeError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise HardenerError(
            f"a range is LO,HI, two numbers with the lower one first, such as 0,4095 or -1000,400; got {value!r}."
        )
    return low, high
