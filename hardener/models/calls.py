"""Calls of a class or a function in a file's code, by its name or by one that is chosen as it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from hardener.models.arguments import Takes
from hardener.models.source_code import called_name


def calls_of(name: str, tree: ast.Module, taken: Takes) -> Iterator[tuple[ast.Call, ast.FunctionDef | None]]:
    """Yield the calls of a name, and of whatever a name chooses (`models.__dict__[arch](depth=28)`) that is given what
    it needs, and nothing that it does not take; and the functions that they lie in."""
    nodes = list(ast.walk(tree))
    aliases = [alias for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    names = {name} | {alias.asname for alias in aliases if alias.name == name and alias.asname}
    around: dict[int, ast.FunctionDef] = {}
    for function in (node for node in nodes if isinstance(node, ast.FunctionDef)):  # inner ones come last
        around |= {id(node): function for node in ast.walk(function)}
    for node in nodes:
        if isinstance(node, ast.Call) and (called_name(node) in names or _may_be_chosen(node, taken)):
            yield node, around.get(id(node))


def _may_be_chosen(call: ast.Call, taken: Takes) -> bool:
    chosen = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    by_name = getattr(chosen, "attr", "") == "__dict__" or (
        isinstance(chosen, ast.Call) and called_name(chosen) == "getattr"
    )
    given = {keyword.arg for keyword in call.keywords}
    return by_name and bool(given & set(taken.required())) and given <= set(taken.names)
