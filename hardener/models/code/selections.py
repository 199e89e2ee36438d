"""What scripts take by a name that is a setting: `getattr(models, args.arch)(width=4)`, `NETS[cfg["net"]]()`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from hardener.models.code.calls import parser_argument
from hardener.models.code.names_read import setting_read
from hardener.models.code.source_code import called_name

_NETWORK = {"model", "net", "network", "classifier", "backbone"}
"""What code calls the network that it trains."""


@dataclass(frozen=True)
class Selection:
    """A name that a script chooses by, and what it does with it.

    Attributes:
        setting: the name of the setting.
        name: what is chosen by default; empty where the file does not tell.
        owner: what the name is looked up in, as code calls it; empty where that is not known.
        call: where what is chosen is called.
        is_network: the result is called `model`, or the like.
    """

    setting: str
    name: str
    owner: str
    call: ast.Call | None
    is_network: bool


def selections(tree: ast.Module) -> Iterator[Selection]:
    """Yield what a file chooses by a setting, what is made the network first."""
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    read = [parser_argument(call) for call in calls if called_name(call) == "add_argument"]
    defaults = {one.name: one.told["default"] for one in read if isinstance(one.told["default"], str)}
    sets = [node for node in nodes if isinstance(node, ast.Assign) and len(node.targets) == 1]
    named = {ast.unparse(node.targets[0]): node.value for node in sets}
    networks = {id(node.value) for node in sets if ast.unparse(node.targets[0]).rpartition(".")[2] in _NETWORK}
    found = []
    for node in nodes:
        owner, key = _picked(node)
        setting = "" if key is None else _setting(named.get(ast.unparse(key), key))
        if not isinstance(node, ast.expr) or not setting:
            continue
        kept = {name for name, value in named.items() if value is node}  # Net = getattr(models, args.arch)
        made: list[ast.Call | None] = [one for one in calls if one.func is node or ast.unparse(one.func) in kept]
        table = named.get(owner)
        chosen = defaults.get(setting, "")
        chosen = _held(table, chosen) if isinstance(table, ast.Dict) else chosen
        for call in made or [None]:
            found.append(Selection(setting, chosen, owner, call, id(call) in networks))
    yield from sorted(found, key=lambda one: not one.is_network)


def _picked(node: ast.AST) -> tuple[str, ast.expr | None]:
    """Return what code looks a name up in, and the expression of the name; None where it does not."""
    if isinstance(node, ast.Call) and called_name(node) == "getattr" and len(node.args) > 1:
        return ast.unparse(node.args[0]), node.args[1]
    if isinstance(node, ast.Call) and called_name(node) == "eval" and node.args:
        return "", node.args[0]
    if not isinstance(node, ast.Subscript):
        return "", None
    owner = node.value
    if isinstance(owner, ast.Attribute) and owner.attr == "__dict__":
        return ast.unparse(owner.value), node.slice
    if isinstance(owner, ast.Call):
        is_space = called_name(owner) in ("vars", "globals", "locals")
        return ast.unparse(owner.args[0]) if owner.args else "", node.slice if is_space else None
    return ast.unparse(owner), node.slice


def _setting(key: ast.expr) -> str:
    """Return the name of the setting that an expression reads, also at the end of a text that it makes."""
    if isinstance(key, ast.BinOp):  # eval("models." + args.arch)
        return _setting(key.right)
    if isinstance(key, ast.JoinedStr):
        inner = [one.value for one in key.values if isinstance(one, ast.FormattedValue)]
        return _setting(inner[0]) if len(inner) == 1 else ""
    return key.id if isinstance(key, ast.Name) else setting_read(key)


def _held(table: ast.Dict, key: str) -> str:
    """Return the name that a table written out has under a key."""
    for one, value in zip(table.keys, table.values, strict=True):
        if isinstance(one, ast.Constant) and one.value == key:
            value = value.func if isinstance(value, ast.Call) else value
            return ast.unparse(value).rpartition(".")[2]
    return ""
