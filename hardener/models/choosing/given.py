"""Values of `--model-arg`, which are texts, and what a network is built with: settings by name, classes of its file."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import yaml
from torch import nn

from hardener.models.choosing.by_name import named_by, own_copy
from hardener.models.choosing.candidates import candidates_of
from hardener.models.choosing.repository import with_powers
from hardener.models.code.argument_use import is_a_tuple, is_called_with
from hardener.models.code.arguments import Making
from hardener.models.code.model_file import Imported
from hardener.models.code.settings_object import Given
from hardener.models.code.settings_read import is_config
from hardener.models.code.user_code import user_code

ATTRIBUTE = "self."
"""How names begin of what is set on a network once it is built, which its code reads and does not set."""
_WHOLE_POWER = re.compile(r"^(-?\d+)e")  # 1e-05, which YAML 1.1 takes for a word
_CLASSES = ("block", "unit", "cell", "bottleneck", "layer", "act", "activation")
"""How arguments end that a class is given to."""


def as_built_with(given: Mapping[str, Any], found: Imported) -> dict[str, Any]:
    """Return the values that a file's networks are built with: mappings as settings, and the names of its classes as
    these, where an argument is for a class."""
    return {key: _made(key, one, found) for key, one in given.items()}


def said(value: Any, text: str = "") -> str | None:
    """Return a value as `--model-arg` reads it; None where it can't.

    Args:
        text: what makes it in the file's own module.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, str):
        return _word(value)
    if isinstance(value, int | float):
        return _WHOLE_POWER.sub(r"\1.0e", str(value)) if isinstance(value, float) else str(value)
    if isinstance(value, list | tuple):
        parts = [said(one) for one in value]
        return None if None in parts else f"[{', '.join(map(str, parts))}]"
    if isinstance(value, dict | SimpleNamespace):
        held = value if isinstance(value, dict) else vars(value)
        pairs = {_word(key) if isinstance(key, str) else said(key): said(one) for key, one in held.items()}
        return None if None in pairs.values() else f"{{{', '.join(f'{key}: {one}' for key, one in pairs.items())}}}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [one for one in dataclasses.fields(value) if one.init]
        return said({one.name: now for one in fields if (now := getattr(value, one.name)) != _default_of(one)})
    if inspect.isclass(value) and value.__module__.startswith("torch.nn.") and not text:
        text = f"nn.{value.__name__}"
    named = inspect.isclass(value) or (text.isidentifier() and not isinstance(value, nn.Module))
    return text if named and text.replace(".", "").isidentifier() else None


def _default_of(field: dataclasses.Field[Any]) -> Any:
    """Return what a dataclass has for a field by itself; `dataclasses.MISSING` where it has nothing."""
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _word(text: str) -> str:
    """Return a text as YAML reads it in a list or a mapping: in quotes where it would be something else without."""
    try:
        same = yaml.safe_load(f"[{text}]") == [text]
    except yaml.YAMLError:
        same = False
    return text if same else json.dumps(text, ensure_ascii=False)


def _made(argument: str, value: Any, found: Imported) -> Any:
    value = with_powers(value)
    if isinstance(value, str):
        named = _class_named(argument, value, found) or _settings_named(argument, value, found)
        named = named_by(value, found) if named is None else named
        return value if named is None else named
    if isinstance(value, list):
        return tuple(value) if any(is_a_tuple(argument, taker) for taker in _takers(argument, found)) else value
    if not isinstance(value, Mapping):
        return value
    kind = _dataclass_for(argument, value, found)
    settings = {key: _inner(one, found) for key, one in value.items()}
    if kind is None:
        return Given(settings)
    with user_code(f"{kind.__name__}, which {argument} is made of,"):
        return kind(**settings)


def _inner(value: Any, found: Imported) -> Any:
    """Return a setting, of which a text with dots may name a class."""
    value = with_powers(value)
    if isinstance(value, Mapping):
        return {key: _inner(one, found) for key, one in value.items()}
    named = named_by(value, found) if isinstance(value, str) and "." in value else None
    return value if named is None or isinstance(named, Making) else named


def _takers(argument: str, found: Imported) -> list[Any]:
    return [one.value for one in candidates_of(found) if one.takes is not None and argument in one.takes.names]


def _dataclass_for(argument: str, value: Mapping[str, Any], found: Imported) -> type | None:
    """Return the one dataclass of the file that has these fields, and is what the argument is annotated with, if so."""
    kinds = [one for one in vars(found.module).values() if isinstance(one, type) and dataclasses.is_dataclass(one)]
    takers = [one.takes for one in candidates_of(found) if one.takes is not None]
    annotated = [taken.annotations.get(argument) for taken in takers if argument in taken.names]
    names = [one if isinstance(one, str) else getattr(one, "__name__", "") for one in annotated]
    fitting = [
        one
        for one in dict.fromkeys(kinds)
        if set(value) <= {field.name for field in dataclasses.fields(one) if field.init}
    ]
    named = [one for one in fitting if one.__name__ in names]
    chosen = named or fitting
    return chosen[0] if len(chosen) == 1 else None


def _settings_named(argument: str, text: str, found: Imported) -> Any:
    """Return the object of settings that a text names in the file, where the argument is for one."""
    value = vars(found.module).get(text)
    if value is None or callable(value) or inspect.ismodule(value) or isinstance(value, str | int | float):
        return None
    return own_copy(value) if any(is_config(argument, taker) for taker in _takers(argument, found)) else None


def _class_named(argument: str, text: str, found: Imported) -> Any:
    """Return the class or the function of the file that a text names, where one is what the argument is for."""
    value = vars(found.module).get(text)
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return None
    called = any(is_called_with(argument, taker) for taker in _takers(argument, found))
    fits = called or (inspect.isclass(value) and argument.lower().endswith(_CLASSES))
    return value if fits else None
