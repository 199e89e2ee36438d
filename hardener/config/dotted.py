"""Mappings of mappings, such as a recipe before it is checked, by dotted keys such as `optimizer.lr`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hardener.errors import HardenerError


def value_of(fields: Any, key: str) -> Any:
    """Return what a mapping of mappings holds under a dotted key, or None."""
    for part in key.split("."):
        fields = fields.get(part) if isinstance(fields, Mapping) else None
    return fields


def first_of(places: Iterable[Any], key: str) -> Any:
    """Return the value under a dotted key of the first mapping that has one, or None."""
    return next((value for place in places if (value := value_of(place, key)) is not None), None)


def put_value(fields: dict[str, Any], key: str, value: Any, told: str) -> None:
    """Put a value under a dotted key; `told` says where that stands."""
    *sections, last = key.split(".")
    place = fields
    for section in sections:
        if place.get(section) is None or place[section] is True:  # a section that is off, or on as it is by default
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            raise HardenerError(f"{told}: {section!r} is no section of the recipe.")
    place[last] = value


def holds_one(key: str, places: Iterable[str]) -> bool:
    """Say whether one of these places of a recipe lies below a dotted key."""
    return any(place.startswith(f"{key}.") for place in places)


def lies_in(key: str, places: Iterable[str]) -> bool:
    """Say whether a dotted key is one of these places of a recipe, or lies below one."""
    return any(key == place or key.startswith(f"{place}.") for place in places)


def flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a mapping of mappings as dotted keys and values; an empty one is a value."""
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping of mappings from dotted keys."""
    fields: dict[str, Any] = {}
    for key, value in flat.items():
        put_value(fields, key, value, key)
    return fields
