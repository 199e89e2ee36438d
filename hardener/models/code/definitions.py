"""A script that trains, reads its data or ends when it is imported -> its definitions, without running the rest."""

from __future__ import annotations

import ast
import builtins
import importlib.machinery
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType

from hardener.models.code.import_advice import asks_for_main, training_sign
from hardener.models.code.imports_read import imported_as

_DEFINES = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NO_NETWORK = re.compile(
    r"data|loader|sampler|loss|transforms|train|optim|schedul|config|callback|error|exception|test", re.I
)
_ADDS = {"add_argument", "set_defaults", "add_argument_group", "add_mutually_exclusive_group"}
_MAYBE = "may_fail"
_SETS = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.Try, ast.With)


class DefinitionsLoader(importlib.machinery.SourceFileLoader):
    """Imports a file's definitions alone; lines keep their numbers."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile what is kept; no compiled file is read or written."""
        tree = ast.parse(self.get_data(self.path), self.path)
        return compile(definitions(tree), self.path, "exec", dont_inherit=True)


def defines_network(path: Path) -> bool:
    """Does a file define a class with a `forward`, its own or that of what it is derived from?"""
    return bool(_networks(ast.parse(path.read_bytes())))


def definitions(tree: ast.Module) -> ast.Module:
    """Keep of a module what defines: imports, classes, functions, and values that are written out; besides those,
    what a network needs of the module's other names, unless that trains or fetches data.

    A value that no network needs, such as the accuracy after a loop that is left out, may fail."""
    kept = [_is_definition(statement) for statement in tree.body]
    needed = set().union(*map(_used, _networks(tree)))
    seen: set[str] = set()
    while fresh := needed - seen:
        seen |= fresh
        for place, statement in enumerate(tree.body):
            if _adds_to(statement) in fresh:
                kept[place] = True
                needed |= _used(statement) | _bound(statement)
            if not fresh & _bound(statement) or isinstance(statement, ast.ClassDef):
                continue
            if isinstance(statement, ast.FunctionDef) or kept[place]:
                needed |= _used(statement)
            elif isinstance(statement, _SETS) and not _asks(statement) and not training_sign(statement):
                kept[place] = True
                needed |= _used(statement)
    body: list[ast.stmt] = []
    known = set(dir(builtins)) | {"__file__", "__name__"}
    for statement in (one for one, keep in zip(tree.body, kept, strict=True) if keep):
        if isinstance(statement, _DEFINES):
            body.append(statement)
        elif _used(statement) <= known | _bound(statement):
            body.append(statement if _bound(statement) & needed else _maybe(statement))
        else:
            continue
        known |= _bound(statement)
    return ast.Module(body, [])


def runs_in_definitions(path: Path, line: int) -> bool:
    """Whether a line of a file runs also when its definitions alone are imported."""
    kept = definitions(ast.parse(path.read_bytes())).body
    return any(one.lineno <= line <= (one.end_lineno or line) for one in kept if not hasattr(one, _MAYBE))


def _maybe(statement: ast.stmt) -> ast.stmt:
    """Return a statement that is passed over where it raises."""
    handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
    tried = ast.copy_location(ast.Try([statement], [handler], [], []), statement)
    setattr(tried, _MAYBE, True)
    return ast.fix_missing_locations(tried)


def _networks(tree: ast.Module) -> list[ast.ClassDef]:
    """Return the classes with a `forward` of their own, or with a base that may have one."""
    origins = imported_as(tree.body)
    found: dict[str, ast.ClassDef] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef):
            own = any(isinstance(one, ast.FunctionDef) and one.name == "forward" for one in statement.body)
            if own or any(_may_have_forward(base, found, origins) for base in statement.bases):
                found[statement.name] = statement
    return list(found.values())


def _may_have_forward(base: ast.expr, networks: Mapping[str, ast.ClassDef], origins: Mapping[str, str]) -> bool:
    """May what a class is derived from have a `forward`: a network of the file, one of torch, torchvision or timm, or
    what is imported and bears no name of another kind?"""
    if isinstance(base, ast.Call):  # made by a function
        return True
    first, _, rest = ast.unparse(base).partition(".")
    if first in networks or first not in origins:
        return first in networks
    whole = f"{origins[first]}.{rest}".rstrip(".")
    top = whole.partition(".")[0]
    if top == "torch":
        return whole.startswith("torch.nn.") and not whole.endswith(".Module")
    return top not in sys.stdlib_module_names and _NO_NETWORK.search(whole) is None


def _is_definition(statement: ast.stmt) -> bool:
    if isinstance(statement, _DEFINES):
        return True
    if isinstance(statement, ast.Try):
        return all(isinstance(one, ast.Import | ast.ImportFrom) for one in statement.body)
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    sets = isinstance(statement, ast.Assign | ast.AnnAssign | ast.If) and not _asks(statement)
    return sets and not any(isinstance(node, ast.Call | ast.For | ast.While) for node in ast.walk(statement))


def _adds_to(statement: ast.stmt) -> str:
    """Return the name of the parser that a statement gives an argument, as in `parser.add_argument("--width")`, or a
    group of them."""
    call = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
    method = call.func if isinstance(call, ast.Call) else None
    if not isinstance(method, ast.Attribute) or method.attr not in _ADDS:
        return ""
    return getattr(method.value, "id", "")


def _asks(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and asks_for_main(statement.test)


def _used(statement: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    named = (one for one in ast.walk(statement) if isinstance(one, ast.alias))
    names = {(alias.asname or alias.name).partition(".")[0] for alias in named}
    return names | {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
