"""Source files, and what stands on their top level."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """A source file and the names on its top level."""

    def __init__(self, name: str, path: Path, root: Path) -> None:
        self.name, self.file = name, path.relative_to(root).as_posix()
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.names: dict[str, ast.AST] = {}
        for node in top_level(self.tree.body):
            if isinstance(node, Function | ast.ClassDef):
                self.names[node.name] = node
            elif isinstance(node, ast.Assign):
                self.names |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self.names[node.target.id] = node.value
        self.imports = imports_of(self.tree.body, self.package)


def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body, and those below its conditions."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from top_level([*node.body, *node.orelse])


def imports_of(body: list[ast.stmt], package: str) -> dict[str, tuple[str, str]]:
    """Return local name -> (module, name in it or "") for the imports of a body."""
    found = {}
    for node in top_level(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0],
                    "",
                )
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {alias.asname or alias.name: (source, alias.name) for alias in node.names}
    return found


def assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, ast.expr | None]]:
    """Yield (target, value, annotation) of what a statement assigns; tuples are taken apart where both sides are."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from ((one, other, None) for one, other in zip(target.elts, node.value.elts, strict=False))
            else:
                yield target, node.value, None
    elif isinstance(node, ast.AnnAssign):
        yield node.target, node.value or ast.Constant(None), node.annotation
    elif isinstance(node, ast.NamedExpr):
        yield node.target, node.value, None


def is_self(node: ast.expr) -> bool:
    """Tell whether an expression is a method's own object or class."""
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}
