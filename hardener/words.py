"""Figures as people read them: the same in terminal, page, card and chart."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

_ODD = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, half characters, ends of lines
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the direction of what follows, so that a text reads as another. Joiners, which scripts need, are none."""
NO_BREAK = "\u00a0"


def percent(share: float | None, space: str = " ") -> str:
    """Write a fraction as `12.3 %`, a dash where there is none.

    Args:
        space: between figure and sign; a page puts `NO_BREAK` there, so that both stay on one line.
    """
    return "–" if share is None else f"{100 * share:.1f}{space}%"


def plain(text: str) -> str:
    """Return a text that can be written as UTF-8: a byte of a file name that is none becomes `\\xe9`."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a pair, as JSON can hold
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def odd_letter(text: str) -> str | None:
    """Return the first character that does something else than be read, such as ending a line; None: there is none."""
    if text.isascii() and text.isprintable():
        return None
    return next((letter for letter in text if unicodedata.category(letter) in _ODD or letter in _TURNS), None)


def one_line(text: str) -> str:
    """Return a text that does nothing but be read: what else is in it becomes `\\x1b`, `\\n`, `\\u202e`."""
    if odd_letter(text) is None:
        return text
    return "".join(letter if odd_letter(letter) is None else _escaped(letter) for letter in text)


def readable(text: str) -> str:
    """Return a text of several lines of which each is as `one_line` has it."""
    return "\n".join(map(one_line, text.split("\n")))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def counted(count: int, word: str) -> str:
    """Write a count with its noun: `1 step`, `20 steps`, `9 target classes`, `100 queries`."""
    if count == 1:
        return f"1 {word}"
    ending = f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count:,} {ending}"


def in_list(name: str) -> str:
    """Write a name that stands in a list: in quotes where a mark in it would read as the end of one."""
    return f'"{name}"' if "," in name or ";" in name else name


def listed(names: Iterable[str], most: int | None = None) -> str:
    """Write a list of names, such as classes: `cat, "dog, wet"`; at most so many of them."""
    return ", ".join(in_list(name) for name in list(names)[:most])


def either(names: Iterable[str]) -> str:
    """Name alternatives: `spatial, camera or patch`."""
    return " or ".join(", ".join(names).rsplit(", ", 1))


def are(count: int) -> str:
    """Return the verb that goes with a count."""
    return "is" if count == 1 else "are"


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
