"""Calls in a file's code: of a class or a function, by its name or by one that is chosen as it runs, and of a parser's
`add_argument`."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hardener.models.code.arguments import Takes
from hardener.models.code.source_code import called_name, literal

_STORED = {"store_true": False, "store_false": True}


@dataclass(frozen=True)
class ParserArgument:
    """What `parser.add_argument("--depth", default=28, choices=[…])` says.

    Attributes:
        name: under which its value is read; empty where that is not known.
        flags: as they are typed.
        told: by name; `...` for what is no literal. A switch has its default.
    """

    name: str
    flags: list[str]
    told: dict[str, Any]


def parser_argument(call: ast.Call) -> ParserArgument:
    """Read a call of `add_argument`."""
    flags = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    told = {keyword.arg: literal(keyword.value, ...) for keyword in call.keywords if keyword.arg is not None}
    long = [flag for flag in flags if flag.startswith("--")] or flags
    name = told.get("dest") or (long[0].lstrip("-").replace("-", "_") if long else "")
    told.setdefault("default", _STORED.get(str(told.get("action"))))
    return ParserArgument(name if isinstance(name, str) else "", flags, told)


def arguments_in(call: ast.Call, names: Iterable[str]) -> list[tuple[str, ast.expr]]:
    """Return what a call gives, by name: what is given by place has these names, in order. What `**` gives is not
    known."""
    named = [(keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg is not None]
    return [*zip(names, call.args, strict=False), *named]


def calls_of(
    name: str, tree: ast.Module, taken: Takes, chosen: Collection[ast.Call] = ()
) -> Iterator[tuple[ast.Call, ast.FunctionDef | None]]:
    """Yield the calls of a name, and of whatever a name chooses (`models.__dict__[arch](depth=28)`) that is given what
    it needs, and nothing that it does not take; and the functions that they lie in.

    Args:
        chosen: calls of what a name chooses among this and its like, which need not be given what is needed.
    """
    nodes = list(ast.walk(tree))
    aliases = [alias for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    names = {name} | {alias.asname for alias in aliases if alias.name == name and alias.asname}
    around: dict[int, ast.FunctionDef] = {}
    for function in (node for node in nodes if isinstance(node, ast.FunctionDef)):  # inner ones come last
        around |= {id(node): function for node in ast.walk(function)}
    for node in nodes:
        if isinstance(node, ast.Call) and (called_name(node) in names or _may_be_chosen(node, taken, chosen)):
            yield node, around.get(id(node))


def _may_be_chosen(call: ast.Call, taken: Takes, chosen: Collection[ast.Call]) -> bool:
    by = call.func.value if isinstance(call.func, ast.Subscript) else call.func
    by_name = getattr(by, "attr", "") == "__dict__" or (isinstance(by, ast.Call) and called_name(by) == "getattr")
    given = {keyword.arg for keyword in call.keywords}
    if not given <= set(taken.names):
        return False
    return call in chosen or (by_name and bool(given & set(taken.required())))
