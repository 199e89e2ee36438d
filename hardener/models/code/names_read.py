"""Names, settings and constants that the code of a file holds, read and not run."""

from __future__ import annotations

import ast
import collections
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard

from hardener.models.code.arguments import OFF, plain
from hardener.models.code.source_code import literal

_OF_SETTINGS = re.compile(r"(config|configuration|cfg|settings|options|params|hparams|args)$", re.IGNORECASE)
"""How classes end that hold settings."""


def bound_in(tree: ast.Module) -> set[str]:
    """Return the names that a file defines or imports."""
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def written_out(node: ast.expr) -> Any:
    """Return what is written: a literal, or a `range` of some."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range" and not node.keywords:
        ends = [literal(one, ...) for one in node.args]
        return list(range(*ends)) if ends and all(type(one) is int for one in ends) else ...
    return literal(node, ...)


def is_len(node: ast.expr) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "len" and len(node.args) == 1


def dotted(node: ast.expr) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def setting_read(node: ast.expr) -> str:
    """Return which setting an expression reads: `depth` of `args.depth` and of `cfg["depth"]`."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return node.slice.value
    return node.attr if isinstance(node, ast.Attribute) else ""


@functools.lru_cache(maxsize=512)
def constants_in(tree: ast.Module | ast.FunctionDef) -> Mapping[str, Any]:
    """Return what names stand for in a file: literals, expressions where they are set once, and of a loop's the first
    of a list."""
    nodes = list(ast.walk(tree))
    sets = [node for node in nodes if isinstance(node, ast.Assign) and len(node.targets) == 1]
    pairs = [(".".join(dotted(node.targets[0])), node.value) for node in sets]
    lists = {name: value for name, value in pairs if isinstance(value, ast.List | ast.Tuple) and value.elts}
    for loop in (node for node in nodes if isinstance(node, ast.For)):
        walked = lists.get(".".join(dotted(loop.iter)), loop.iter)
        if isinstance(walked, ast.List | ast.Tuple) and walked.elts:
            pairs.append((".".join(dotted(loop.target)), walked.elts[0]))
    once = collections.Counter(name for name, _ in pairs)
    own = {name for name in once if once[name] == 1 and ("." not in name or name.startswith("self."))}
    known = {name: literal(value, value) for name, value in pairs if name in own}
    top = [(".".join(dotted(n.targets[0])), literal(n.value, ...)) for n in sets if n in tree.body]
    return known | {name: value for name, value in top if "." not in name and value is not ...}


def settings_in(tree: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """Yield what a class of settings has by itself, as its name tells: `depth = 28` in `Config`, also of `self`."""
    for node in ast.walk(tree) if _OF_SETTINGS.search(tree.name) else ():
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and target is not None and node.value is not None:
            names = dotted(target)
            own = node in tree.body if len(names) == 1 else names[:1] == ("self",) and len(names) == 2
            value = literal(node.value, ...)
            if own and value is not ...:
                yield names[-1], value


def is_plain(call: ast.Call) -> bool:
    """Is nothing given in a call but whether weights are fetched?"""
    return not call.args and all(plain(one.arg or "") in OFF for one in call.keywords)


def in_branches(function: ast.FunctionDef, default: Callable[[str], Any]) -> dict[str, Any]:
    """Return what names stand for that a function sets to literals where a setting has its default:
    `if variant == "base": width = 768`.

    Args:
        default: returns what a setting is by default; None where that is not known, and the function's own counts.
    """
    arguments = [*function.args.args, *function.args.kwonlyargs]
    values = [*function.args.defaults, *function.args.kw_defaults]
    names = [one.arg for one in arguments[len(arguments) - len(values) :]]
    own = {name: literal(value, None) for name, value in zip(names, values, strict=True) if value is not None}
    found: dict[str, Any] = {}
    for node in ast.walk(function):
        test = node.test if isinstance(node, ast.If) else None
        if not isinstance(node, ast.If) or not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
            continue
        setting = setting_read(test.left) or ".".join(dotted(test.left))
        chosen = default(setting) if setting else None
        chosen = own.get(setting) if chosen is None else chosen
        if chosen is None or literal(test.comparators[0], ...) != chosen:
            continue
        for one in node.body:
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
                value = literal(one.value, ...)
                found |= {} if value is ... else {one.targets[0].id: value}
    return found
