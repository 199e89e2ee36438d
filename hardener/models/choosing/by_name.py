"""What a text of `--model-arg` names: `nn.ReLU`, `torchvision.models.resnet18()`, `Params("b0", depth=2)`."""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from hardener.models.code.arguments import (
    CHANNELS,
    IMAGE_SIZE,
    MAYBE_CHANNELS,
    SHAPES,
    Facts,
    Making,
    class_count_name,
    known_arguments,
    made,
    plain,
    size_names,
    takes,
)
from hardener.models.code.calls import arguments_in
from hardener.models.code.imports_read import stands_in
from hardener.models.code.model_file import Imported
from hardener.models.code.user_code import user_code

LIBRARIES = ("torch", "torchvision", "timm")
_UNKNOWN = object()


def named_by(text: str, found: Imported) -> Any:
    """Return what a text with dots, or with a call's brackets at its end, names: of the model file, of a file beside
    it, or of a library. A call is made each time a network is built; its arguments are literals, or names as well.

    Returns:
        None where it names nothing, and may be a word.
    Raises:
        HardenerError: a module fails when it is imported.
    """
    call = call_in(text)
    value = _named(text if call is None else ast.unparse(call.func), found, alone=call is not None)
    if value is None or inspect.ismodule(value) or (call is not None and not callable(value)):
        return None
    if call is None:
        return value if callable(value) else own_copy(value)
    given = [_argument(one, found) for one in call.args]
    named = {one.arg or "": _argument(one.value, found) for one in call.keywords}
    if _UNKNOWN in given or _UNKNOWN in named.values() or "" in named:
        return None
    return Making(functools.partial(_called, value, given, named))


def call_in(text: str) -> ast.Call | None:
    """Return the call that a text is, such as `Params("b0", depth=2)`; None where it is none."""
    if not text.endswith(")") or not text[:1].isidentifier():
        return None
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
    return node if isinstance(node, ast.Call) else None


def for_these(text: str, found: Imported, facts: Facts) -> str:
    """Return a call's text with the number of classes, the channels and the size that the images have, where it tells
    others or may tell them."""
    call = call_in(text)
    value = None if call is None or not (call.args or call.keywords) else _named(ast.unparse(call.func), found, True)
    taken = None if value is None else takes(value)
    spread = call is not None and any(one.arg is None for one in call.keywords)
    if call is None or taken is None or taken.positional or spread or len(call.args) > len(taken.names):
        return text
    given = dict(arguments_in(call, taken.names))
    known, count = known_arguments(taken, facts, {}), class_count_name(taken)
    if facts.size is not None and facts.size[0] == facts.size[1]:
        whole = [name for name in size_names(taken) if isinstance(getattr(given.get(name), "value", None), int)]
        known |= dict.fromkeys(whole, facts.size[0])
    fitting = {name: value for name, value in known.items() if name == count or _is_of_images(name, given.get(name))}
    texts = {name: ast.unparse(node) for name, node in given.items()} | {n: repr(v) for n, v in fitting.items()}
    return f"{ast.unparse(call.func)}({', '.join(f'{name}={one}' for name, one in texts.items())})"


def _is_of_images(name: str, node: ast.expr | None) -> bool:
    """Does an argument of a call tell the channels or the size of images? `channels=256` is a width."""
    word = plain(name)
    maybe = word in MAYBE_CHANNELS and getattr(node, "value", None) in (1, 3)
    return node is not None and (maybe or word in (*CHANNELS, *SHAPES, *IMAGE_SIZE))


def own_copy(value: Any) -> Making:
    """Return an object of which each network gets a copy of its own: a network may change its settings."""
    return Making(functools.partial(copy.deepcopy, value))


def _named(text: str, found: Imported, alone: bool) -> Any:
    """Return what a name stands for; one without dots only where `alone` says so."""
    first, *rest = text.split(".")
    if not first.isidentifier() or not (rest or alone):
        return None
    owner = vars(found.module).get(first)
    value = None if owner is None else _inside(owner, rest)
    if value is None and first == "nn":
        value = _inside(nn, rest)
    if value is None and rest and (first in LIBRARIES or any(stands_in(first, one) for one in found.file.folders)):
        value = _of_module(first, rest)
    return value


def _argument(node: ast.expr, found: Imported) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        text = ast.unparse(node)
    value = named_by(text, found) if call_in(text) is not None else _named(text, found, alone=True)
    return _UNKNOWN if value is None else value


def _called(value: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    def own(one: Any) -> Any:
        return made(one) if isinstance(one, Making) else copy.deepcopy(one) if isinstance(one, list | dict) else one

    return value(*map(own, given), **{name: own(one) for name, one in named.items()})


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
