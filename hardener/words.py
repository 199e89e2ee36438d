"""Figures as people read them: the same in terminal, page, card and chart."""

from __future__ import annotations

import math

NO_BREAK = "\u00a0"


def percent(share: float | None, space: str = " ") -> str:
    """Write a fraction as `12.3 %`, a dash where there is none.

    Args:
        space: between figure and sign; a page puts `NO_BREAK` there, so that both stay on one line.
    """
    return "–" if share is None else f"{100 * share:.1f}{space}%"


def plain(text: str) -> str:
    """Return a text that can be written as UTF-8: a byte of a file name that is none becomes `\\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def ends(interval: tuple[float, float]) -> str:
    """Write an interval of fractions as `(1.2 – 3.4)`, in per cent."""
    return f"({100 * interval[0]:.1f} – {100 * interval[1]:.1f})"


def points(share: float, *, sign: bool = False) -> str:
    """Write a difference of fractions in percentage points, `−1.2`; with `sign` a gain as `+1.2`."""
    shown = round(100 * share, 1) + 0.0  # never a zero with a minus
    return f"{shown:{'+' if sign and shown else ''}.1f}".replace("-", "−")


def number(value: float) -> str:
    """Write any number with at most four figures."""
    return "infinite" if math.isinf(value) else f"{value:.4g}".replace("-", "−")


def figure(value: float | None, unit: str, space: str = " ") -> str:
    """Write a value of a unit: a `share` in per cent, anything else as a number followed by its unit."""
    if value is None or unit == "share":
        return percent(value, space)
    return f"{number(value)}{space}{unit}" if unit else number(value)
