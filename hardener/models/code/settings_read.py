"""Which settings code reads of an argument that holds several: `args.width`, `config["model"]["depth"]`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hardener.models.code.argument_use import is_called_with, words_of
from hardener.models.code.arguments import plain
from hardener.models.code.source_code import code_of, is_network_class, looked_up, scope_of

CONFIGS = ("args", "arg", "cfg", "cfgs", "config", "configs", "conf", "opt", "opts", "options", "hparams", "params",
           "hps", "flags", "parameters", "settings", "modelconfig", "modelcfg", "modelargs", "hyperparams")  # fmt: skip
_METHODS = {name for kind in (dict, list, str) for name in dir(kind)}
_DEEPEST = 4
_Steps = tuple[tuple[str, bool], ...]


@dataclass
class Settings:
    """What code reads of an object of settings: `parts` by name; `keys`: by `["name"]` and not by `.name`, or by `.get`
    alone, where it has no parts; `words`:
    what a part without parts of its own is compared with where it is handed on; `length` of one that is a list, as far
    as it is read; `counted`: it is a list, whose length is asked for; `times`: it says how often something is done;
    `called`: it is a class, a function or a method."""

    parts: dict[str, Settings]
    keys: bool = False
    words: list[Any] = field(default_factory=list)
    length: int = 0
    counted: bool = False
    times: bool = False
    called: bool = False

    def at(self, steps: _Steps) -> Settings:
        """Return the part that some steps lead to; it is made where there is none."""
        place = self
        for key, by_key in steps:
            place.keys = place.keys or by_key
            place = place.parts.setdefault(key, Settings({}))
        return place


def is_config(name: str, value: Any) -> bool:
    """Is an argument an object, or a mapping, that holds the settings?"""
    return plain(name) in CONFIGS or (not is_called_with(name, value) and bool(settings_of(name, value).parts))


def settings_of(name: str, value: Any, depth: int = 0) -> Settings:
    """Read which settings a class, or a function, asks of an argument, there and where it hands it on."""
    found = Settings({})
    tree = code_of(value)
    if tree is None or depth > _DEEPEST:
        return found
    tree = _where_it_is_meant(name, tree)
    roots = _roots(name, tree)
    for node in ast.walk(tree):
        called = _steps(node.func, roots) if isinstance(node, ast.Call) else None
        if called:
            found.at(called).called = True
        steps = _steps(node, roots)
        if steps:
            found.at(steps)
        elif isinstance(node, ast.Subscript):
            listed = _steps(node.value, roots) or roots.get(ast.unparse(node.value))
            if listed:
                _count(node.slice, found.at(listed))
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "len":
            counted = _steps(node.args[0], roots) or roots.get(ast.unparse(node.args[0]))
            if counted:
                found.at(counted).counted = True
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range":
            for steps in filter(None, (_steps(one, roots) for one in node.args)):
                found.at(steps).times = True
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get":  # of a mapping, with a default
            asked = _steps(node.func.value, roots) if isinstance(node.func, ast.Attribute) else None
            if asked:
                found.at(asked).keys = True
        elif isinstance(node, ast.Call):
            for steps, inner, callee in _handed_on(node, value, roots):
                _add(found.at(steps), settings_of(inner, callee, depth + 1), words_of(inner, callee))
    return found


def _handed_on(node: ast.Call, value: Any, roots: Mapping[str, _Steps]) -> Iterator[tuple[_Steps, str, Any]]:
    """Yield which settings a call hands on, the names of the arguments that they are there, and what is called."""
    own = _own_method(node.func, value)
    callee = looked_up(node.func, scope_of(value)) if own is None else own
    if is_network_class(callee) or inspect.isfunction(callee):
        for steps, inner in _parts_handed(node, callee, roots, behind_self=own is not None):
            yield steps, inner, callee


def _where_it_is_meant(name: str, tree: ast.AST) -> ast.AST:
    """Leave a class's other methods out where they have an argument of that name of their own."""
    if not isinstance(tree, ast.ClassDef):
        return tree

    def has_its_own(node: ast.stmt) -> bool:
        taken = node.args.args if isinstance(node, ast.FunctionDef) and node.name != "__init__" else []
        return any(argument.arg == name for argument in taken)

    return ast.Module([node for node in tree.body if not has_its_own(node)], [])


def _count(index: ast.expr, place: Settings) -> None:
    """Keep how long a list is at least that is read at some place."""
    if isinstance(index, ast.Constant) and isinstance(index.value, int):
        place.length = max(place.length, index.value + 1)
    elif isinstance(index, ast.UnaryOp):  # the last of it
        place.length = max(place.length, 1)
    elif not isinstance(index, ast.Constant | ast.Slice | ast.Tuple):
        place.counted = True


def _add(place: Settings, further: Settings, words: list[Any]) -> None:
    fresh = {name: Settings({}) for name in further.parts if name not in place.parts}
    place.parts = {name: fresh.get(name) or place.parts[name] for name in {**further.parts, **place.parts}}
    for name, part in further.parts.items():
        _add(place.parts[name], part, part.words)
    place.keys = place.keys or further.keys
    place.length = max(place.length, further.length)
    place.counted, place.times = place.counted or further.counted, place.times or further.times
    place.called = place.called or further.called
    place.words += words


def _roots(name: str, tree: ast.AST) -> dict[str, _Steps]:
    """Return what stands for an argument, or for a part of it, in some code: `model_config = config.model`."""
    roots: dict[str, _Steps] = {name: (), f"self.{name}": ()}
    if isinstance(tree, ast.FunctionDef) and tree.args.kwarg is not None:
        roots[f"{tree.args.kwarg.arg}['{name}']"] = ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, given = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:  # model: DictConfig = config.model
            target, given = node.target, node.value
        else:
            continue
        steps = _steps(given, roots)
        if steps and isinstance(target, ast.Name | ast.Attribute):
            roots[ast.unparse(target)] = steps
    return roots


def _steps(node: ast.AST, roots: Mapping[str, _Steps]) -> _Steps | None:
    """Return the settings that an expression such as `args.model.width` reads of `args`, whole or not at all."""
    steps: list[tuple[str, bool]] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if ast.unparse(node) in roots:
            break
        if isinstance(node, ast.Attribute):
            steps.append((node.attr, False))
        elif isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            steps.append((node.slice.value, True))
        else:
            return None
        node = node.value
    root = roots.get(ast.unparse(node)) if isinstance(node, ast.Attribute | ast.Name | ast.Subscript) else None
    if root is None or not steps or any(step in _METHODS for step, _ in steps):
        return None
    return (*root, *reversed(steps))


def _own_method(called: ast.expr, value: Any) -> Any:
    """Return the method that `self.name(...)` calls in a class; None for anything else."""
    if (
        not isinstance(value, type)
        or not isinstance(called, ast.Attribute)
        or getattr(called.value, "id", "") != "self"
    ):
        return None
    method = vars(value).get(called.attr)
    return method if inspect.isfunction(method) else None


def _parts_handed(
    call: ast.Call, callee: Any, roots: Mapping[str, _Steps], *, behind_self: bool
) -> Iterator[tuple[_Steps, str]]:
    """Yield which settings a call hands on, and the names of the arguments that they are there."""
    named = [(keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg is not None]
    placed: list[tuple[int | str, ast.expr]] = [*enumerate(call.args, start=int(behind_self))]
    for where, argument in [*placed, *named]:
        whole = roots.get(ast.unparse(argument))
        steps = whole if whole is not None else _steps(argument, roots)
        inner = _argument_name(callee, where)
        if steps is not None and inner is not None:
            yield steps, inner


def _argument_name(callee: Any, place: int | str) -> str | None:
    if isinstance(place, str):
        return place
    try:
        names = list(inspect.signature(callee).parameters)
    except (TypeError, ValueError):
        return None
    return names[place] if place < len(names) else None
