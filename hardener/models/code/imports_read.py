"""What a Python file imports, read from its code: how far up by relative imports, and which names besides."""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

NEVER_TWICE = {"hardener", "torch", "torchvision", "numpy"}
"""What cannot be imported anew in one process."""
_REPOSITORY = (".git", "setup.py", "pyproject.toml", "setup.cfg")
_DOWNLOADED = ("requirements.txt", "environment.yml", "LICENSE", "README.md")
ALIAS = "hardener_user_package_"
"""Begins the name of a package whose own name a library bears that is loaded."""
_MOST_READ = 300  # files that are followed by their relative imports


def uppermost(own: Path) -> Path:
    """Return the uppermost folder to look for imports in: of the repository, or else what the imports ask for."""
    folder = own.parent
    tops = [folder]
    inside = [parent for parent in own.parents if (parent / "__init__.py").is_file()]
    if inside and inside[0] == folder:
        packages = [folder]
        while (packages[-1].parent / "__init__.py").is_file():
            packages.append(packages[-1].parent)
        tops.append(packages[-1].parent)
    tops.append(own.parents[min(reach_of(own), len(own.parents) - 1)])
    marked = repository_above(own)
    if marked is not None:
        tops.append(marked)
    else:
        for name in asked_for(own):
            tops += [parent for parent in own.parents[:4] if stands_in(name, parent)][:1]
    return min(tops, key=lambda top: len(top.parts))


def is_repository(folder: Path) -> bool:
    """Is a folder the uppermost one of a repository?"""
    return repository_above(folder / "any") == folder


def repository_above(own: Path) -> Path | None:
    """Return the uppermost folder of the repository that a file lies in; None where none is seen.

    Without what a clone or a package holds there, as in an archive that was downloaded, a list of requirements, a
    license or a README marks it.
    """
    for marks in (_REPOSITORY, _DOWNLOADED):
        found = next((folder for folder in own.parents if any((folder / mark).exists() for mark in marks)), None)
        if found is not None:
            return None if found == Path.home() else found
    return None


def asked_for(own: Path) -> list[str]:
    """Return the first parts of what a file imports, not relative to itself, and which may be the user's own."""
    tops = dict.fromkeys(name.partition(".")[0] for name in imported_names(own))
    return [name for name in tops if name not in sys.stdlib_module_names and name not in NEVER_TWICE]


def imported_names(own: Path) -> list[str]:
    """Return the modules that a file imports, not relative to itself; none where it is no Python."""
    names: list[str] = []
    with contextlib.suppress(SyntaxError, ValueError, OSError):
        for node in ast.walk(ast.parse(own.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                names += [node.module] if node.module and not node.level else []
            elif isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
    return names


def imported_as(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Return what the names that code imports are called where they come from: `np` is `numpy`, `Net` is `nets.Net`.

    What is imported relative to a file begins with a dot.
    """
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            begins = "." * node.level + (f"{node.module}." if node.module else "")
            found |= {one.asname or one.name: f"{begins}{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            pairs = ((one.asname, one.name if one.asname else one.name.partition(".")[0]) for one in node.names)
            found |= {alias or name: name for alias, name in pairs}
    return found


def reach_of(own: Path) -> int:
    """Return how far up relative imports reach, of a file and of those that it imports by them: 1 is its folder."""
    reach, seen, pending = 0, {own}, [own]
    while pending and len(seen) < _MOST_READ:
        file = pending.pop()
        for level, parts in _relative_imports(file):
            base = file.parents[min(level, len(file.parents)) - 1]
            if own.is_relative_to(base):
                reach = max(reach, len(own.relative_to(base).parts))
            place = base.joinpath(*parts)
            inits = [folder / "__init__.py" for folder in (place, *place.parents) if folder.is_relative_to(base)]
            fresh = [path for path in (place.with_suffix(".py"), *inits) if path not in seen and path.is_file()]
            seen.update(fresh)
            pending += fresh
    return reach


def folders_added(own: Path, folders: Iterable[Path]) -> list[str]:
    """Return the folders that a file adds to `sys.path` by a relative name, `sys.path.append("./layers")`, counted from
    each of some folders: they are meant from where its author starts it."""
    found: list[str] = []
    with contextlib.suppress(SyntaxError, ValueError, OSError):
        calls = [node for node in ast.walk(ast.parse(own.read_bytes())) if isinstance(node, ast.Call)]
        added = [one for one in calls if ast.unparse(one.func) in ("sys.path.append", "sys.path.insert") and one.args]
        names = [one.args[-1].value for one in added if isinstance(one.args[-1], ast.Constant)]
        relative = [name for name in names if isinstance(name, str) and name and not Path(name).is_absolute()]
        places = (folder / name for folder in folders for name in relative)
        found = [str(place.resolve()) for place in places if place.is_dir()]
    return list(dict.fromkeys(found))


def fewer_folders(error: ImportError, folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield the folders without the nearest one, two, … that hold what could not be imported."""
    top = None if error.name is None else error.name.partition(".")[0]
    holding = [folder for folder in folders if top is None or stands_in(top, folder)]
    for count in range(1, len(holding)):
        yield [folder for folder in folders if folder not in holding[:count]]


def own_package(own: Path) -> int:
    """Return how far up the package is that a file belongs to and imports from by its name: 1 is its folder, 0 none."""
    names = set(asked_for(own))
    for depth, folder in enumerate(own.parents, start=1):
        if not (folder / "__init__.py").is_file():
            return 0
        if folder.name in names:
            return depth
    return 0


def _relative_imports(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the level and the name, in parts, of what a file imports relative to itself; also what may be a module."""
    with contextlib.suppress(SyntaxError, ValueError, OSError):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level:
                parts = node.module.split(".") if node.module else []
                yield node.level, parts
                yield from ((node.level, [*parts, alias.name]) for alias in node.names if alias.name != "*")


def stands_in(name: str, folder: Path) -> bool:
    """Does a folder hold a module of this name?"""
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file() or (folder / name).is_dir()
