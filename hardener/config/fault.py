"""How a file that does not fit its record is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError

from hardener.errors import did_you_mean
from hardener.words import either, one_line


def first_fault(error: ValidationError) -> str:
    """Return where it does not fit first, and why, such as `best.epoch: Field required`."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return one_line(f"{place}: {first['msg']}")


def all_faults(error: ValidationError, keys: Iterable[str]) -> str:
    """Tell all that is wrong with what a person wrote; an unknown key comes with its own place or the nearest key.

    Args:
        keys: all that are known, as `keys_of` names them.
    """
    known, faults = list(keys), []
    for fault in error.errors():
        item, place = _place(fault["loc"])
        if fault["type"] == "extra_forbidden":
            faults.append(f"{item}unknown key {place!r}.{_hint(fault['loc'], place, known)}")
        elif fault["type"] == "missing":
            faults.append(f"{item}{place}: is missing.")
        else:
            ours = fault["type"] == "value_error"  # such a message names its value already
            message = fault["msg"].removeprefix("Value error, ")
            if not item:  # a section names its keys from itself on
                message = message.replace(f"such as {place.rpartition('.')[2]}.", f"such as {place}.")
            head = f"{place}: " if place else ""  # without one it is of the whole file
            faults.append(f"{item}{head}{message}" + ("" if ours else f"; got {fault['input']!r}."))
    return one_line(" ".join(faults))


def _hint(loc: Sequence[int | str], place: str, known: Sequence[str]) -> str:
    """Say where a key of this name belongs, or which one beside it was meant."""
    last, section = str(loc[-1]), "".join(f"{part}." for part in loc[:-1] if isinstance(part, str))
    elsewhere = [key for key in dict.fromkeys(known) if f".{key}".endswith(f".{last}")]
    if place in elsewhere:  # of an item, whose keys are told without its list
        return " It belongs at the top of the file."
    if elsewhere:
        return f" Did you mean {either(map(repr, elsewhere))}?"
    if len(section) > 1 and len(loc) > section.count(".") + 1:  # an item of a list, whose own keys are short
        return did_you_mean(last, [key.removeprefix(section) for key in known if key.startswith(section)])
    found = did_you_mean(place, known) or did_you_mean(last, known)
    beside = [key for key in dict.fromkeys(known) if key.startswith(section) and "." not in key[len(section) :]]
    if not beside or (found and f"{section[:-1]!r}" not in found):
        return found
    names = ", ".join(key.removeprefix(section) for key in beside)  # near is the section's own name, and no key of it
    return f" Known{' of ' + section[:-1] if section else ''}: {names}."


def _place(loc: Sequence[int | str]) -> tuple[str, str]:
    """Return which item of a list it lies in, as people count, such as `number 1 of requirements: `, and the key."""
    numbers = [place for place, part in enumerate(loc) if isinstance(part, int)]
    if not numbers:
        return "", ".".join(map(str, loc))
    last = numbers[-1]
    return f"number {int(loc[last]) + 1} of {'.'.join(map(str, loc[:last]))}: ", ".".join(map(str, loc[last + 1 :]))


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the keys of a model and of the models in it, as `section.key`."""
    for name, field in model.model_fields.items():
        yield prefix + (field.alias or name)
        nested = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        for kind in nested:
            if issubclass(kind, BaseModel):
                yield from keys_of(kind, f"{prefix}{name}.")
