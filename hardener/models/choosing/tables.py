"""Settings that a file keeps by name, in a table or alone: `CONFIGS = {"small": {...}}`, `SMALL = dict(width=4)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from torch import nn

from hardener.models.choosing.by_name import own_copy
from hardener.models.choosing.guesses import Guess
from hardener.models.choosing.repository import Repository
from hardener.models.code.model_file import Imported

_KEY = re.compile(r"[\w.-]+")
_FOR_TESTS = re.compile(r"test|debug|dummy|toy")
_MOST, _MOST_NAMED, _DEEPEST, _LONGEST = 8, 6, 4, 40
_SHARE = 0.5
"""Of the settings that code reads, how many an object has at least that is taken for one of them."""


def kept_settings(parts: Iterable[str], found: Imported, repository: Repository) -> list[Guess]:
    """Return the objects of settings, by name, that have what code reads: those that a script of the repository chooses
    by default first, then the smallest."""
    wanted = list(parts)
    shares = [(sum(_has(one, part) for part in wanted) / len(wanted), text, one) for text, one in _kept(found)]
    return _ranked([(text, one) for share, text, one in shares if share > _SHARE], found, repository)


def kept_lists(length: int, found: Imported, repository: Repository) -> list[Guess]:
    """Return the lists of layers, by name, that tables keep: `cfg = {"VGG11": [64, "M", 128, "M"]}`."""
    lists = [(text, one) for text, one in _kept(found) if isinstance(one, list | tuple) and len(one) >= length]
    of_layers = [(text, one) for text, one in lists if any(isinstance(part, str | list | tuple) for part in one)]
    return _ranked(of_layers, found, repository)


def _ranked(kept: list[tuple[str, Any]], found: Imported, repository: Repository) -> list[Guess]:
    """Put first what scripts choose by default or offer, then what other code names, then the smaller."""
    if not kept:
        return []
    told, named = dict[str, int](), repository.words(found.file.own.stem)
    for values in repository.settings.values():
        for place, one in enumerate(values):
            told[str(one)] = min(place, told.get(str(one), place))

    def order(pair: tuple[str, Any]) -> tuple[int, bool, bool, float]:
        text, one = pair
        ends = {text[place + 1 :] for place, letter in enumerate(text) if letter == "."}  # a key may hold dots
        chosen = min((told[end] for end in ends if end in told), default=len(told))
        return chosen, _FOR_TESTS.search(text.lower()) is not None, ends.isdisjoint(named), _size(one)

    ranked = sorted(kept, key=order)
    guesses = []
    for text, one in ranked[:_MOST]:
        others = tuple(name for name, _ in ranked if name != text and len(name) <= _LONGEST)[:_MOST_NAMED]
        guesses.append(Guess(own_copy(one), text, named=True, others=others))
    return guesses


def _kept(found: Imported) -> Iterator[tuple[str, Any]]:
    """Yield what the file's own modules keep under a name or in a table, with the words that lead there."""
    spaces = [("", found.module)] + [
        (f"{name}.", one) for name, one in vars(found.module).items() if isinstance(one, ModuleType) and found.owns(one)
    ]
    for prefix, module in spaces:
        for name, one in list(vars(module).items()):
            if name.startswith("_") or isinstance(one, ModuleType | nn.Module | type) or callable(one):
                continue
            yield f"{prefix}{name}", one
            for key, inner in one.items() if isinstance(one, Mapping) else ():
                if _KEY.fullmatch(str(key)) and not callable(inner):
                    yield f"{prefix}{name}.{key}", inner


def _has(one: Any, part: str) -> bool:
    if isinstance(one, Mapping):
        return part in one
    return not isinstance(one, str | int | float | list | tuple) and hasattr(one, part)


def _size(one: Any, depth: int = 0) -> float:
    """Return how large the numbers are that settings hold, together."""
    if isinstance(one, int | float) and not isinstance(one, bool):
        return float(one)
    inner = one.values() if isinstance(one, Mapping) else one
    inner = inner if isinstance(one, Mapping | list | tuple) else getattr(one, "__dict__", {}).values()
    return sum(_size(part, depth + 1) for part in inner) if depth < _DEEPEST else 0.0
