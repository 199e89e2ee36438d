"""What a network is built from besides the files that a run copies: code that lies elsewhere, and variables."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hardener.models.code.user_code import is_users

_WEIGHTS = {".pth", ".pt", ".bin", ".safetensors", ".ckpt", ".h5", ".npz", ".npy", ".pkl", ".lock"}
"""The run's own weights are loaded over these."""
_OF_OS = ("os", "collections.abc", "_collections_abc")


def code_behind(modules: Iterable[ModuleType], fresh: Iterable[ModuleType] = (), package: str = "") -> set[Path]:
    """Return the files of the user's own code that modules refer to, themselves included, directly or by others.

    Args:
        fresh: modules that count where they are the user's own, whether they are referred to or not.
        package: an installed package whose files count too.
    """
    border, files, seen = [*modules, *fresh], set[Path](), set[int]()
    while border:
        module = border.pop()
        path = _file_of(module, package)
        if path is None or id(module) in seen:
            continue
        seen.add(id(module))
        files.add(path)
        border += _referred_to(module)
        border += [sys.modules[name] for name in _imports(module, path) if name in sys.modules]
    return files


def _referred_to(module: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules that what a module holds comes from."""
    for value in list(vars(module).values()):
        name = value.__module__ if isinstance(value, type | FunctionType) else type(value).__module__
        other = value if isinstance(value, ModuleType) else sys.modules.get(name) if isinstance(name, str) else None
        if other is not None:
            yield other


def _imports(module: ModuleType, path: Path) -> Iterator[str]:
    """Yield the names that a module's code imports: a number that it takes from another shows in no other way."""
    with contextlib.suppress(SyntaxError, ValueError, OSError, ImportError):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                base = importlib.util.resolve_name(base, module.__package__) if node.level else base
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _file_of(module: ModuleType, package: str) -> Path | None:
    """Return the file of a module of the user's own, or of one package; None for any other."""
    text = vars(module).get("__file__")  # a lazy module loads where it is asked
    if not isinstance(text, str) or not text.endswith(".py"):
        return None
    inside = bool(package) and module.__name__.partition(".")[0] == package
    path = Path(text).resolve()
    return path if (inside or is_users(path)) and path.is_file() else None


def kept_elsewhere(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return those files whose change would make another network: not weights, which a run has of its own."""
    return tuple(sorted(path for path in paths if path.suffix not in _WEIGHTS))


def named_whole(data: Iterable[Path], sources: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files whose whole path stands in the code that reads them: a copy of these is never read."""
    code = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sources)
    return tuple(path for path in data if _is_named(path, code))


def _is_named(path: Path, code: str) -> bool:
    """Does code name a file, or its folder and the file's name, by a whole path?"""
    folder = re.search(rf"{re.escape(str(path.parent))}/?['\"]", code)
    return str(path) in code or (folder is not None and path.name in code)


@contextlib.contextmanager
def variables_read() -> Iterator[dict[str, None]]:
    """Collect the names of the environment variables that the user's own code reads."""
    found: dict[str, None] = {}
    kind: Any = type(os.environ)
    before = kind.__getitem__

    def read(variables: Mapping[str, str], name: str) -> Any:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__") in _OF_OS:
            frame = frame.f_back
        if is_users(Path(frame.f_code.co_filename)):
            found[name] = None
        return before(variables, name)

    kind.__getitem__ = read
    try:
        yield found
    finally:
        kind.__getitem__ = before
