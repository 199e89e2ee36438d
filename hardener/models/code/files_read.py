"""Which files a model's code reads while its network is built: a run that lacks them could not be opened again."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_CODE = {".py", ".pyc", ".pyi", ".so"}
_OF_THE_MACHINE = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/bin", "/opt/conda")
_NOT_THE_MODELS = {"__pycache__", ".git", "site-packages", "dist-packages", "matplotlib", "fontconfig"}
"""Folders of programs; the last two hold lists of fonts, which are read where a file imports what draws."""

_listeners: list[tuple[int, set[str]]] = []  # thread, paths; a hook of the interpreter can be added and never removed
_hooked = False


@contextlib.contextmanager
def files_read() -> Iterator[set[str]]:
    """Collect the paths of all files that this thread opens to read."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hear)
        _hooked = True
    listener = (threading.get_ident(), set[str]())
    _listeners.append(listener)
    try:
        yield listener[1]
    finally:
        _listeners.remove(listener)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Let this thread read for hardener's own ends: the model does not read these files."""
    own = [one for one in _listeners if one[0] == threading.get_ident()]
    for listener in own:
        _listeners.remove(listener)
    try:
        yield
    finally:
        _listeners.extend(own)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listeners or event != "open":
        return
    path, mode, _ = arguments
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str) or (isinstance(mode, str) and not mode.startswith("r")):
        return
    for thread, paths in list(_listeners):
        if thread == threading.get_ident():
            paths.add(os.path.abspath(path))


def data_files(paths: Iterable[str], top: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return those of the files that are data: below the folder `top`, and elsewhere on this machine.

    What belongs to Python, to installed packages or to the system is left out.
    """
    own, elsewhere = set(), set()
    python = [Path(folder).resolve() for folder in {sys.prefix, sys.base_prefix, sys.exec_prefix}]
    house = Path(__file__).resolve().parents[3]
    for text in paths:
        path = Path(text).resolve()
        if path.suffix in _CODE or _NOT_THE_MODELS & set(path.parts) or not path.is_file():
            continue
        if path.is_relative_to(top):
            own.add(path)
        elif not any(path.is_relative_to(folder) for folder in (*python, *map(Path, _OF_THE_MACHINE), house)):
            elsewhere.add(path)
    return tuple(sorted(own)), tuple(sorted(elsewhere))
