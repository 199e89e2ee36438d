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


def duration(seconds: float) -> str:
    """Return a time in words: 45 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def amount(value: float, unit: str) -> str:
    """Write a large number of a unit with a decimal prefix: `296 MFLOPs`, `1.2 GB`."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


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
