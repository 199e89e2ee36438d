"""What a script's main part reads from the command line for its networks -> the same, for an empty command line."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from hardener.models.code.calls import parser_argument
from hardener.models.code.source_code import tree_of


def set_as_parsed(module: ModuleType) -> list[str]:
    """Set a module's names that only its main part, or a function, sets by `parser.parse_args()`, and that its networks
    read: as that gives them without arguments. The parser's arguments are read, and nothing is run.

    Returns:
        The names.
    """
    tree = tree_of(module)
    names = set(_parsed(tree))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    read = {node.id for one in classes for node in ast.walk(one) if isinstance(node, ast.Name)}
    found = sorted(name for name in names & read if vars(module).get(name) is None)
    settings = dict(_defaults(tree)) if found else {}
    for name in found if settings else ():
        setattr(module, name, argparse.Namespace(**settings))
    return found if settings else []


def _parsed(tree: ast.Module) -> Iterator[str]:
    """Yield the names of the module that code which does not run at its import sets to what a parser gives."""
    for part in tree.body:
        shared = {name for node in ast.walk(part) if isinstance(node, ast.Global) for name in node.names}
        for node in ast.walk(part):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _parses(node.value):
                targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
                yield from targets if isinstance(part, ast.If) else targets & shared


def _parses(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr == "parse_args" and not call.args


def _defaults(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Yield what the arguments of a file's parsers are by default; those that have none to be read are left out."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "add_argument":
            continue
        argument = parser_argument(node)
        needed = bool(argument.flags) and not argument.flags[0].startswith("-") and "nargs" not in argument.told
        if not argument.name.isidentifier() or needed or "required" in argument.told:
            continue
        if argument.told["default"] is not ...:
            yield argument.name, argument.told["default"]
