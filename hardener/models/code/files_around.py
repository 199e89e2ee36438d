"""The files of a repository that may say something of a model file's settings and calls."""

from __future__ import annotations

import ast
from pathlib import Path

from hardener.models.code.model_file import ModelFile

_MOST_FILES, _MOST_BYTES = 200, 200_000
_NOT_HERE = {"site-packages", "dist-packages", "node_modules", "venv", "env", "build", "dist", "runs"}
_DEFINES = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.ClassDef, ast.FunctionDef)


def files_around(folder: Path, *, deep: bool) -> list[Path]:
    """Return what may hold settings, the nearest to the top first."""
    pending, found = [folder], list[Path]()
    while pending and len(found) < _MOST_FILES:
        try:
            inside = sorted(pending.pop(0).iterdir())
        except OSError:
            continue
        for path in inside:
            if path.name.startswith(".") or path.name in _NOT_HERE or path.is_symlink():
                continue
            if path.is_dir():
                pending += [path] if deep else []
            elif path.suffix in (".py", ".yaml", ".yml", ".json") and path.stat().st_size <= _MOST_BYTES:
                found.append(path)
    return found[:_MOST_FILES]


def module_of(path: Path, file: ModelFile, tree: ast.Module) -> str:
    """Return the name by which a file is imported beside the model file, where it only defines."""
    harmless = all(isinstance(node, _DEFINES) or _is_text(node) for node in tree.body)
    folder = next((one for one in file.folders if path.is_relative_to(one)), None)
    parts = () if folder is None or not harmless else path.relative_to(folder).with_suffix("").parts
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
