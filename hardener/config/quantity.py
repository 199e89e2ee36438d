"""Numbers as people of the field write them: `8/255`, `0.03`, `1e-3`."""

from __future__ import annotations

import math

from hardener.errors import HardenerError


def parse_quantity(text: str | float) -> float:
    """Turn `8/255` or `0.03` into a float.

    Raises:
        HardenerError: the text is no finite number and no fraction of two.
    """
    if isinstance(text, bool):
        raise HardenerError(f"expected a number such as 8/255 or 0.03; got {text!r}.")
    try:
        numerator, _, denominator = str(text).partition("/")
        value = float(numerator) / (float(denominator) if denominator else 1.0)
    except (ValueError, ZeroDivisionError):
        raise HardenerError(f"expected a number such as 8/255 or 0.03; got {text!r}.") from None
    if not math.isfinite(value):
        raise HardenerError(f"expected a finite number such as 8/255 or 0.03; got {text!r}.")
    return value
