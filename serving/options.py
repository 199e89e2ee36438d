"""What a caller may ask for beside the image: one table, read from the query, a form or JSON, and shown in OpenAPI."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hardener.errors import did_you_mean

from .problem import Problem

MIN_SECONDS = 0.1


@dataclass(frozen=True)
class Options:
    """The caller's options; None where the server decides.

    `largest_top_k` is the largest that was given anywhere: one in the URL must be in range though the body's counts.
    """

    top_k: int | None = None
    largest_top_k: int | None = None
    report: bool | None = None
    model: str | None = None
    draws: int | None = None
    queries: int | None = None
    budget_s: float | None = None
    found_image: bool | None = None


SCHEMAS: dict[str, dict[str, Any]] = {
    "top_k": {
        "type": "integer",
        "minimum": 1,
        "description": "how many of the most likely classes to list; default: all",
    },
    "report": {
        "type": "boolean",
        "default": False,
        "description": "also probe and certify this answer; takes seconds",
    },
    "model": {"type": "string", "description": "which of the models to ask; default: the server's default"},
    "draws": {
        "type": "integer",
        "minimum": 1,
        "description": "with a report: noisy copies for the certificate; more than the server allows are cut to that",
    },
    "queries": {
        "type": "integer",
        "minimum": 1,
        "description": "with a report: model runs of the attack; more than the server allows are cut to that",
    },
    "budget_s": {
        "type": "number",
        "minimum": MIN_SECONDS,
        "description": "with a report: seconds to spend on it; more than the server allows are cut to that",
    },
    "found_image": {
        "type": "boolean",
        "default": False,
        "description": "with a report: send the adversarial image along, where the attack finds one",
    },
}


def read_options(
    query: Iterable[tuple[str, str]],
    form: Iterable[tuple[str, str]] = (),
    json: Iterable[tuple[str, Any]] = (),
    *,
    allowed: Iterable[str],
) -> Options:
    """Read the options of a request; the body's word goes before the URL's.

    Args:
        query, form: names and values, all as text.
        json: names and values, where a number is a number.
        allowed: what this route takes.
    Raises:
        Problem: 422 an unknown option, a value of the wrong kind or out of range, or two values in one place.
    """
    allowed = tuple(allowed)
    places = [_read(query, _from_text, allowed), _read(form, _from_text, allowed), _read(json, _from_json, allowed)]
    largest = max((place["top_k"] for place in places if "top_k" in place), default=None)
    return Options(largest_top_k=largest, **places[0] | places[1] | places[2])


def _read(
    given: Iterable[tuple[str, Any]], convert: Callable[[str, Any], Any], allowed: tuple[str, ...]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in _known(given, allowed):
        value = convert(name, text)
        if found.setdefault(name, value) != value:
            raise Problem(422, f"{name} is given twice, as {_show(found[name])} and as {_show(value)}")
    return found


def _known(given: Iterable[tuple[str, Any]], allowed: tuple[str, ...]) -> Iterable[tuple[str, Any]]:
    for name, value in given:
        if name not in allowed:
            known = ", ".join(allowed)
            shown = name if len(name) <= 40 else f"{name[:40]}…"
            raise Problem(422, f"unknown option {shown!r}. Known: {known}.{did_you_mean(shown, allowed)}")
        yield name, value


def _from_text(name: str, text: str) -> Any:
    kind = SCHEMAS[name]["type"]
    if kind == "string":
        return text
    if kind == "boolean":
        if text.lower() not in {"true", "false"}:
            raise _wrong(name, "true or false", text)
        return text.lower() == "true"
    try:
        number = int(text) if text.isascii() and text.isdecimal() else float(text)
    except ValueError:  # no number, or one of thousands of digits
        raise _wrong(name, _range(name), text) from None
    return _from_json(name, number)


def _from_json(name: str, value: Any) -> Any:
    kind = SCHEMAS[name]["type"]
    if kind in {"string", "boolean"}:
        if not isinstance(value, str if kind == "string" else bool):
            raise _wrong(name, "a name" if kind == "string" else "true or false", value)
        return value
    if isinstance(value, float) and kind == "integer" and value.is_integer():
        value = int(value)  # JSON knows one kind of number: 3.0 is the integer 3
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (kind == "number" and isinstance(value, float) and math.isfinite(value))):
        raise _wrong(name, _range(name), value)
    if value < SCHEMAS[name]["minimum"]:
        raise _wrong(name, _range(name), value)
    return value


def _range(name: str) -> str:
    kind = "a whole number" if SCHEMAS[name]["type"] == "integer" else "a number"
    return f"{kind}, at least {SCHEMAS[name]['minimum']}"


def _wrong(name: str, wanted: str, got: Any) -> Problem:
    return Problem(422, f"{name} must be {wanted}; got {_show(got)}")


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists in lists in lists
        return "a value too large to show"
    return text if len(text) <= 80 else f"{text[:80]}…"
