"""How the code of a class or a function uses an argument: the words it compares it with, the list it reads it as."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

from hardener.models.code.arguments import takes
from hardener.models.code.calls import arguments_in
from hardener.models.code.source_code import code_of, is_network_class, looked_up, scope_of

_MADE_BY_NAME = {
    "timm.create_model": ("resnet18", "efficientnet_b0", "vit_tiny_patch16_224", "densenet121", "convnext_atto"),
    "torchvision.get_model": ("resnet18", "efficientnet_b0", "vit_b_16", "densenet121", "convnext_tiny"),
}
"""What makes a network by its name, and names whose networks end in layers of other names."""
OF_LIBRARIES = frozenset(itertools.chain.from_iterable(_MADE_BY_NAME.values()))


def words_of(name: str, value: Any, depth: int = 2, *, parts: bool = True) -> list[Any]:
    """Return the words that code compares an argument with, or looks it up under; also code that it is handed to.

    Args:
        parts: also those that the argument begins or ends with, or holds: `resnet` of `resnet18`.
    """
    tree, scope = code_of(value), scope_of(value)
    found: list[Any] = []
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and depth:
            inner, handed = looked_up(node.func, scope), [_is(one, name) for one in node.args]
            own = inspect.isfunction(inner) and isinstance(node.func, ast.Name)
            if (own or inspect.ismethod(inner)) and True in handed:
                taken = list(inspect.signature(inner).parameters)
                place = handed.index(True)
                found += words_of(taken[place], inner, depth - 1, parts=parts) if place < len(taken) else []
            found += _MADE_BY_NAME.get(_whole(inner), ()) if _is_first(node, name) else ()
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr" and _is(node.args[1], name):
            found += _builders(looked_up(node.args[0], scope))
        if (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], ast.In)
            and _is(node.comparators[0], name)
            and parts
        ):
            found += [node.left.value] if isinstance(node.left, ast.Constant) else []
        if isinstance(node, ast.Subscript) and _is(node.slice, name):
            found += _keys_of(node.value, tree, scope)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("startswith", "endswith"):
            if isinstance(node.func, ast.Attribute) and _is(node.func.value, name) and node.args and parts:
                found += [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
        elif isinstance(node, ast.Compare) and _is(node.left, name):
            for other in node.comparators:
                many = other.elts if isinstance(other, ast.List | ast.Tuple | ast.Set) else [other]
                listed = [
                    one.value for one in many if isinstance(one, ast.Constant) and isinstance(one.value, str | int)
                ]
                worth = isinstance(node.ops[0], ast.Eq | ast.In | ast.NotIn)
                found += [one for one in listed if not isinstance(one, bool)] if worth else []
                table = looked_up(other, scope)
                found += list(table) if worth and isinstance(table, dict | list | tuple) else []
    return list(dict.fromkeys(found))


def _whole(function: Any) -> str:
    """Return a library's function with the package that it is of: `timm.create_model`."""
    return f"{(getattr(function, '__module__', '') or '').partition('.')[0]}.{getattr(function, '__name__', '')}"


def _is_first(call: ast.Call, name: str) -> bool:
    """Is an argument the first that a call gives, or its `model_name` or `name`?"""
    named = [one.value for one in call.keywords if one.arg in ("model_name", "name")]
    return any(_is(one, name) for one in [*call.args[:1], *named])


def _keys_of(table: ast.expr, tree: ast.AST | None, scope: dict[str, Any]) -> list[str | int]:
    """Return the words and numbers under which a table is read: of the module, written there, or one in a table."""
    if isinstance(table, ast.Subscript):  # TABLE[data][name]
        outer = looked_up(table.value, scope)
        inner = [one for one in outer.values() if isinstance(one, dict)] if isinstance(outer, dict) else []
        return [key for one in inner for key in one if isinstance(key, str | int)]
    found = looked_up(table, scope)
    if isinstance(found, dict):
        return [key for key in found if isinstance(key, str | int)]
    values = [table]
    if isinstance(table, ast.Name) and tree is not None:
        sets = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
        values = [node.value for node in sets if any(_is(target, table.id) for target in node.targets)]
    keys = [key for value in values if isinstance(value, ast.Dict) for key in value.keys]
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str | int)]


def asks_item(value: Any, name: str) -> bool:
    """Does the code of a class or a function take an argument as a tensor of one number, `NAME.item()`?"""
    tree = code_of(value)
    asked = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute)) if tree is not None else ()
    return any(node.attr == "item" and _is(node.value, name) for node in asked)


def counts_rounds(name: str, value: Any) -> bool:
    """Does the code of a class or a function count a loop's rounds by an argument, `range(NAME)`?"""
    tree = code_of(value)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call)) if tree is not None else ()
    return any(
        getattr(one.func, "id", "") == "range" and len(one.args) == 1 and _is(one.args[0], name) for one in calls
    )


def is_of_images(name: str, value: Any, depth: int = 3) -> bool:
    """Does the first convolution of a class, or of what a function calls, take an argument for its `in_channels`?"""
    tree = code_of(value)
    first = None if tree is None else _first_convolution(tree)
    if first is not None:
        given = dict(arguments_in(first, ("in_channels",)))
        return isinstance(given.get("in_channels"), ast.Name) and _is(given["in_channels"], name)
    return depth > 0 and any(is_of_images(inner, callee, depth - 1) for inner, callee in handed_to(name, value))


def _first_convolution(tree: ast.AST) -> ast.Call | None:
    """Return the call that makes the first convolution in the `__init__` of a class."""
    parts = tree.body if isinstance(tree, ast.ClassDef) else []
    init = next((one for one in parts if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    calls = [node for node in ast.walk(init) if isinstance(node, ast.Call)] if init is not None else []
    layers = [one for one in calls if ast.unparse(one.func).endswith("Conv2d")]
    return min(layers, key=lambda one: (one.lineno, one.col_offset), default=None)


def length_of(name: str, value: Any) -> int:
    """Return how long a list is that the code of a class or a function reads an argument as; 0 where it is none."""
    used = used_as(name, value)
    return used if isinstance(used, int) else 0


def is_a_tuple(name: str, value: Any) -> bool:
    """Does the code of a class or a function see that an argument is a tuple?"""
    return used_as(name, value) == "tuple"


def is_called_with(name: str, value: Any) -> bool:
    """Is an argument of a class or a function a class, which its code calls?"""
    return used_as(name, value) == "called"


def used_as(name: str, value: Any, depth: int = 2) -> int | str | None:
    """Return how long a list is that an argument is read as, `called` for a class that is built with, or `tuple`; also
    by the code that it is handed to."""
    here = _used_here(name, value)
    if here is not None or not depth:
        return here
    further = (used_as(inner, callee, depth - 1) for inner, callee in handed_to(name, value))
    return next((found for found in further if found not in (None, "tuple")), None)  # a pair(t) takes both


def handed_to(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what else a class or a function calls with an argument, and its name there; of its `**kwargs` too."""
    tree, scope = code_of(value), scope_of(value)
    direct = takes(value)
    spread = direct is not None and direct.anything and name not in direct.names
    for node in ast.walk(tree) if tree is not None else ():
        callee = looked_up(node.func, scope) if isinstance(node, ast.Call) else None
        if not isinstance(node, ast.Call) or callee is None:
            continue
        if not inspect.isfunction(callee) and not is_network_class(callee):
            continue
        taken = list(inspect.signature(callee).parameters)
        for inner, one in arguments_in(node, taken):
            if isinstance(one, ast.Name) and one.id == name:
                yield inner, callee
        further = takes(callee) if spread and any(keyword.arg is None for keyword in node.keywords) else None
        if further is not None and (name in further.names or further.anything):
            yield name, callee


def _used_here(name: str, value: Any) -> int | str | None:
    tree = code_of(value)
    longest: int | str | None = None
    spelled = (name, f"self.{name}") if _is_kept(name, tree) else (name,)
    for node in ast.walk(tree) if tree is not None else ():
        exact = _exact_length(node, name)
        if exact is not None:
            return exact
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance" and _is(node.args[0], name):
            kinds = {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name)}
            if "tuple" in kinds and "list" not in kinds and "int" not in kinds:
                return "tuple"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            return "called"
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in spelled:
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int):
                longest = max(longest if isinstance(longest, int) else 0, node.slice.value + 1)
            elif isinstance(node.slice, ast.Name):
                longest = max(longest if isinstance(longest, int) else 0, 4)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("sum", "zip", "enumerate", "max"):
            longest = longest or (4 if any(_is(one, name) for one in node.args) else None)
        elif isinstance(node, ast.Attribute) and node.attr == "expansion":
            if isinstance(node.value, ast.Name) and node.value.id == name:
                return "called"
        elif isinstance(node, ast.For | ast.comprehension) and _is(node.iter, name):
            longest = longest or 4
    return longest


def _is_kept(name: str, tree: ast.AST | None) -> bool:
    """Does code keep an argument as it is, `self.rates = rates`?"""
    sets = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)] if tree is not None else []
    targets = [ast.unparse(target) for node in sets for target in node.targets]
    kept = any(_is(node.value, name) and ast.unparse(node.targets[0]) == f"self.{name}" for node in sets)
    return kept and name not in targets


def _builders(owner: Any) -> list[str]:
    """Return the names of what a module has for building networks, the commonest first."""
    names = [key for key, value in vars(owner).items() if inspect.isfunction(value)] if inspect.ismodule(owner) else []
    return sorted((key for key in names if not key.startswith("_")), key=lambda key: key != "resnet18")


def _exact_length(node: ast.AST, name: str) -> int | None:
    """Return the length that code asserts of an argument, or unpacks it to."""
    if isinstance(node, ast.Assign) and _is(node.value, name) and isinstance(node.targets[0], ast.Tuple):
        return len(node.targets[0].elts)
    if isinstance(node, ast.Compare) and isinstance(node.left, ast.Call) and getattr(node.left.func, "id", "") == "len":
        other = node.comparators[0]
        length = other.value if isinstance(other, ast.Constant) and isinstance(other.value, int) else None
        return length if node.left.args and _is(node.left.args[0], name) else None
    return None


def _is(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Attribute) and node.attr == name)
