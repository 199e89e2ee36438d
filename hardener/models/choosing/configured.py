"""Objects of settings that an argument may be: the file's own, its repository's, or made from what its code reads."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from hardener.models.choosing.guesses import Guess, combinations, guesses_for, lists_of, plain_guess, times_of
from hardener.models.choosing.repository import Record, Repository, as_list, repository_of
from hardener.models.choosing.tables import kept_lists, kept_settings
from hardener.models.code.argument_use import length_of
from hardener.models.code.arguments import (
    MAYBE_CHANNELS,
    SHAPES,
    Facts,
    Takes,
    class_count_name,
    meanings,
    plain,
    size_names,
    takes,
)
from hardener.models.code.model_file import Imported
from hardener.models.code.settings_read import Settings, settings_of

COUNT = "num_classes"
_LENGTHS = (4, 3)  # of a list that nothing else is known of: a network's stages
_MOST_WRITTEN = 3


def values_for(name: str, value: Any, repository: Repository) -> list[Guess]:
    """Return what the repository's own scripts and files of settings have for an argument of a class or a function.

    A setting that is called `name` may be anything's: an experiment's, most often.
    """
    if plain(name) == "name":
        return []
    length = length_of(name, value)
    written = [as_list(one) if length else one for one in repository.values((name,))]
    fitting = [one for one in written if not length or (isinstance(one, list) and len(one) >= length)]
    return [plain_guess(one) for one in fitting[:_MOST_WRITTEN]]


def each_once(guesses: Iterable[Guess]) -> list[Guess]:
    """Return guesses without those that were made before."""
    return list({(guess.text, type(guess.value)): guess for guess in guesses}.values())


def configs(name: str, value: Any, taken: Takes, found: Imported, facts: Facts) -> list[Guess]:
    """Return objects of settings that an argument may be: of the file's own, or made from what its code reads."""
    scope = vars(found.module)
    kind = taken.annotations.get(name)
    kind_name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    own = []
    for key, one in scope.items():
        if isinstance(one, type) and dataclasses.is_dataclass(one) and kind_name in ("", "_empty", key):
            own += _of_dataclass(one, key, facts)
    own += [
        Guess(one, key)
        for key, one in scope.items()
        if key.lower() in {name, "config", "cfg", "args", "opt"} and not key.startswith("_") and not callable(one)
        and not hasattr(one, "__path__") and type(one).__name__ != "module"
    ]  # fmt: skip
    read, repository = settings_of(name, value), repository_of(found.file)
    if not read.parts:
        lists = kept_lists(length_of(name, value), found, repository) if length_of(name, value) else []
        return [*lists, *own] or [plain_guess(None)]
    own = [*kept_settings(read.parts, found, repository), *own]
    records = _named(repository.like(tuple(read.parts)), value, found)
    return [*own, *records[:_MOST_WRITTEN], *_built_settings(read, value, facts, repository)]


def _of_dataclass(kind: type, name: str, facts: Facts) -> list[Guess]:
    """Return objects of a dataclass of settings: for images of that size, and with the size that it has by itself."""
    taken = takes(kind) or Takes({})
    count, sides = class_count_name(taken), [one for one in size_names(taken) if type(taken.names[one]) is int]
    counted = {} if count is None else {count: facts.num_classes}
    sized = dict.fromkeys(sides, facts.size[0]) if facts.size is not None and facts.size[0] == facts.size[1] else {}
    found = []
    for filled in [{**sized, **counted}, counted] if sized else [counted]:
        text = ", ".join(f"{key}={COUNT if key == count else value}" for key, value in filled.items())
        with contextlib.suppress(TypeError):  # it needs more
            found.append(Guess(kind(**filled), f"{name}({text})"))
    return found


def _named(records: Sequence[Record], value: Any, found: Imported) -> list[Guess]:
    """Return records by their names where they can be imported by these, the one whose name fits the repository, the
    file or the class best first, and of equals the last."""
    known = "".join([*found.file.own.parts[-4:], getattr(value, "__name__", "")])
    around = re.sub(r"[^a-z0-9]", "", known.lower())

    def fit(record: Record) -> int:
        words = re.findall(r"[a-z0-9]+", record.name.lower())
        return sum(len(word) for word in words if word in around)

    ranked = sorted(records, key=fit)[::-1]
    names = [record.name for record in ranked if record.module]
    guesses = []
    for record in ranked:
        if record.module:
            others = tuple(name for name in names if name != record.name)
            guesses.append(Guess(record.value, f"{record.module}.{record.name}", named=True, others=others))
        else:
            written = ", ".join(f"{name}={one!r}" for name, one in vars(record.value).items())
            guesses.append(Guess(record.value, f"SimpleNamespace({written})"))
    return guesses


def _built_settings(settings: Settings, value: Any, facts: Facts, repository: Repository) -> list[Guess]:
    leaves = list(_leaves(settings, ()))
    of = {".".join(path): _values_of(path, leaf, value, facts, repository) for path, leaf in leaves}
    made = []
    for chosen in combinations(of):
        values = {tuple(key.split(".")): guess for key, guess in chosen.items()}
        made.append(_assembled(settings, (), values))
    return made


def _values_of(path: tuple[str, ...], leaf: Settings, value: Any, facts: Facts, repository: Repository) -> list[Guess]:
    """Return what one setting may be: what is known, what the repository has, and what is usual."""
    name, word = path[-1], plain(path[-1])
    if leaf.called:
        return guesses_for(f"{name}_layer" if "norm" in word else name, value, Takes({}), {})
    if leaf.keys:  # a mapping of which the code reads only what has a default
        return [plain_guess({})]
    if word in repository.empty and not repository.values((name,)):  # a parser's default="", as of what to load
        return [plain_guess("")]
    listed = leaf.counted or leaf.length > 0
    at_place = repository.values_at(path)
    found = [as_list(one) if listed else one for one in at_place or repository.values(path)]
    if listed:
        found = [one for one in found if isinstance(one, list | tuple) and len(one) >= leaf.length]
    elif leaf.times:
        found = [one for one in found if type(one) is int and one > 0]
    written = [plain_guess(one) for one in found[:_MOST_WRITTEN]]
    known = meanings(name, facts)
    if word in SHAPES and known:
        shapes = [one for one in known if isinstance(one, tuple)]
        usual = _usual_length(found) if leaf.length else 0
        return [plain_guess(one) for one in sorted(shapes, key=lambda shape: usual > 0 and len(shape) != usual)]
    if at_place and written and class_count_name(Takes({name: None})) is None:
        return written
    if leaf.counted:
        return each_once([*written, *(one for length in _LENGTHS for one in lists_of(length, word))])
    if leaf.length:
        return each_once([*written, *lists_of(leaf.length, word)])
    if known:
        count = class_count_name(Takes({name: None}))
        sure = [Guess(known[0], COUNT)] if count else [plain_guess(one) for one in known]
        return each_once([*written, *sure]) if word in MAYBE_CHANNELS else sure
    if leaf.times:
        return each_once([*written, *times_of(word)])
    words = [plain_guess(one) for one in leaf.words]
    if words:
        return each_once([*(one for one in written if one.value in leaf.words), *words])
    if written and all(type(one.value) is bool for one in written):
        return each_once([*written, plain_guess(True), plain_guess(False)])
    return each_once([*written, *guesses_for(name, value, Takes({}), {})])


def _usual_length(found: Sequence[Any]) -> int:
    """Return how long the list is that the repository has for a shape; 3 where it has none."""
    return len(found[0]) if found else 3


def _leaves(settings: Settings, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Settings]]:
    if not settings.parts:
        return [(path, settings)]
    return [leaf for name, part in settings.parts.items() for leaf in _leaves(part, (*path, name))]


def _assembled(settings: Settings, path: tuple[str, ...], values: Mapping[tuple[str, ...], Guess]) -> Guess:
    if not settings.parts:
        return values[path]
    parts = {name: _assembled(part, (*path, name), values) for name, part in settings.parts.items()}
    if settings.keys:
        text = ", ".join(f'"{name}": {part.text}' for name, part in parts.items())
        return Guess({name: part.value for name, part in parts.items()}, f"{{{text}}}")
    text = ", ".join(f"{name}={part.text}" for name, part in parts.items())
    return Guess(SimpleNamespace(**{name: part.value for name, part in parts.items()}), f"SimpleNamespace({text})")
