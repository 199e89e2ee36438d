"""Packages that a model file would use, and does without where they are not installed: its networks may be others."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hardener.models.code.import_advice import PACKAGE_NAMES

_CAUGHT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


def done_without(sources: Sequence[Path]) -> list[str]:
    """Say which packages are not installed that classes of these files use where they are, a line each package.

    What has another import, or anything but a plain value, in its place is no such package.
    """
    told: dict[str, str] = {}
    for path in sources:
        for name, line in _optional(path):
            text = (
                f"{name} is not installed, and {path.name} does without it (line {line}): its networks may be others "
                f"then. To have it: pip install {PACKAGE_NAMES.get(name, name)}"
            )
            told.setdefault(name, text)
    return list(told.values())


def _optional(path: Path) -> Iterator[tuple[str, int]]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    used = {
        name.id
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for name in ast.walk(node)
        if isinstance(name, ast.Name)
    }
    for node in tree.body:
        if not isinstance(node, ast.Try) or not any(map(_catches, node.handlers)):
            continue
        instead = [part for handler in node.handlers for statement in handler.body for part in ast.walk(statement)]
        if not all(map(_is_no_stand_in, instead)) or not used & set(_bound([*node.body, *instead])):
            continue
        for name, line in _imported(node.body):
            if name not in sys.modules and importlib.util.find_spec(name) is None:
                yield name, line
                break


def _catches(handler: ast.ExceptHandler) -> bool:
    kinds = [] if handler.type is None else ast.walk(handler.type)
    return handler.type is None or any(isinstance(kind, ast.Name) and kind.id in _CAUGHT for kind in kinds)


def _is_no_stand_in(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Constant)
    return not isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef | ast.Raise)


def _imported(body: Sequence[ast.stmt]) -> Iterator[tuple[str, int]]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((one.name.partition(".")[0], node.lineno) for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def _bound(nodes: Sequence[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (one.asname or one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
