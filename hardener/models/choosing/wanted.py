"""Which arguments are for a network, or for an object with methods, rather than for a value: read from code."""

from __future__ import annotations

import ast
import re
from typing import Any

from hardener.models.code.argument_use import handed_to, is_called_with
from hardener.models.code.arguments import Takes
from hardener.models.code.settings_read import settings_of
from hardener.models.code.source_code import code_of, is_network_class

_ASKED = {"children", "modules", "parameters", "named_children", "named_modules", "named_parameters", "state_dict"}
"""Methods that networks alone have."""
_NETWORK = re.compile(r"(nn\.|torch\.nn\.)?Module")


def takes_network(name: str, value: Any, taken: Takes | None = None, depth: int = 2) -> bool:
    """Is an argument of a class or a function a network, which its code runs?

    Args:
        taken: what it takes, with annotations.
    """
    kind = None if taken is None else taken.annotations.get(name)
    if is_network_class(kind) or (isinstance(kind, str) and _NETWORK.fullmatch(kind)):
        return True
    tree = code_of(value)
    if tree is None or is_called_with(name, value):
        return False
    if _is_run(tree, _kept_as(name, tree) if isinstance(tree, ast.ClassDef) else {name}):
        return True
    return depth > 0 and any(takes_network(inner, callee, None, depth - 1) for inner, callee in handed_to(name, value))


def methods_of(name: str, value: Any) -> set[str]:
    """Return the methods of an argument that code calls, where it reads nothing else of it: `builder.conv3x3(8)`."""
    parts = settings_of(name, value).parts
    return set(parts) if parts and all(part.called for part in parts.values()) else set()


def _kept_as(name: str, tree: ast.ClassDef) -> set[str]:
    """Return how a class's code names an argument of `__init__`: `backbone` there, `self.net` where it is kept so."""
    sets = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    kept = {ast.unparse(target) for node in sets if _is(node.value, name) for target in node.targets}
    return {one for one in kept if one.startswith("self.")}


def _is_run(tree: ast.AST, names: set[str]) -> bool:
    """Does code run what bears one of these names on images, outside of `__init__`, or ask it for its layers?"""
    for part in tree.body if isinstance(tree, ast.ClassDef) else [tree]:
        for node in ast.walk(part):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if ast.unparse(called) in names and getattr(part, "name", "") == "forward":
                return True
            if isinstance(called, ast.Attribute) and called.attr in _ASKED and ast.unparse(called.value) in names:
                return True
    return False


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
