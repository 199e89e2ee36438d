"""What a text of `--model-arg` names: `nn.ReLU`, `torchvision.models.resnet18()`, `Small()`."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from hardener.models.arguments import Making
from hardener.models.imports_read import stands_in
from hardener.models.model_file import Imported
from hardener.models.user_code import user_code

LIBRARIES = ("torch", "torchvision", "timm")
_MADE = "()"


def named_by(text: str, found: Imported) -> Any:
    """Return what a text with dots, or with `()` at its end, names: of the model file, of a file beside it, or of a
    library. With `()` it is called without arguments, each time a network is built.

    Returns:
        None where it names nothing, and may be a word.
    Raises:
        HardenerError: a module fails when it is imported.
    """
    made = text.endswith(_MADE)
    first, *rest = text.removesuffix(_MADE).split(".")
    if not first.isidentifier() or not (rest or made):
        return None
    owner = vars(found.module).get(first)
    value = None if owner is None else _inside(owner, rest)
    if value is None and first == "nn":
        value = _inside(nn, rest)
    if value is None and rest and (first in LIBRARIES or any(stands_in(first, one) for one in found.file.folders)):
        value = _of_module(first, rest)
    if value is None or inspect.ismodule(value) or (made and not callable(value)):
        return None
    return Making(value) if made else value if callable(value) else own_copy(value)


def own_copy(value: Any) -> Making:
    """Return an object of which each network gets a copy of its own: a network may change its settings."""
    return Making(functools.partial(copy.deepcopy, value))


def _inside(owner: Any, names: Sequence[str]) -> Any:
    """Return what lies in an object under some names: attributes of a module, a class or an object, keys of a mapping,
    which may hold dots."""
    if not names:
        return owner
    if isinstance(owner, Mapping):
        keys = {str(key): key for key in owner}
        for count in range(len(names), 0, -1):
            key = ".".join(names[:count])
            if key in keys:
                return _inside(owner[keys[key]], names[count:])
        return None
    if isinstance(owner, str | int | float | list | tuple) or not names[0].isidentifier():
        return None
    return _inside(getattr(owner, names[0], None), names[1:])


def _of_module(top: str, names: Sequence[str]) -> Any:
    """Return what lies in a module, or in one below it, which is imported."""
    for count in range(len(names) - 1, -1, -1):
        module = ".".join([top, *names[:count]])
        if not all(part.isidentifier() for part in names[:count]):
            continue
        with user_code(module, when=" when it is imported"):
            try:
                found = importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                    raise
                continue
        value = _inside(found, names[count:])
        if value is not None:
            return value
    return None
