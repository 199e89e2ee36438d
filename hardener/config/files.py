"""Files of the project and of its users: where recipes lie, and how a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hardener.errors import HardenerError
from hardener.words import plain

_PACKAGE = Path(__file__).resolve().parent.parent
_BESIDE = re.compile(r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-[0-9a-f]{8}(?P<old>\.old)?")
_FORGOTTEN_S = 24 * 3600.0  # no file takes a day to write
READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}  # what a folder that may only be read answers
_PROBE = 1 << 16  # bytes, about what a record takes
_under_way: set[Path] = set()


def packaged_folder(name: str) -> Path:
    """Return the folder `recipes` or `serving`: inside the installed package, else beside it in a checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a path to write a file or a folder to; put it in the place of `path` at the end, or remove it on error.

    A folder at `path` is replaced as a whole: it is moved aside first and removed when the new one stands. What a
    process that was killed leaves beside `path` is cleaned by `tidy`.
    """
    beside = path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    old = beside.with_name(f"{beside.name}.old")
    _under_way.update((beside, old))
    try:
        yield beside
        if path.is_dir():
            path.rename(old)
            beside.rename(path)
            shutil.rmtree(old)
        else:
            os.replace(beside, path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        _remove(beside)
        raise
    finally:
        _under_way.difference_update((beside, old))


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with written_whole(path) as beside:
        beside.write_text(plain(text), encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write plain values as a JSON file, whole or not at all.

    It is what other readers of JSON take, too: names that are not UTF-8 stand in it as `plain` tells them, and numbers
    that are not finite as texts.
    """
    write_text(path, json.dumps(_strict(value), indent=2, allow_nan=False) + "\n")


def check_writable(*files: Path) -> None:
    """See, before work is spent on them, that files can be written; clean what killed processes left beside them.

    Raises:
        HardenerError: a folder that takes no file. One that is still to be made is judged by the one that it goes into.
    """
    for file in files:
        if file.is_dir():
            raise HardenerError(f"{file} is a folder: name a file in it.")
        try:
            place = next(folder for folder in file.absolute().parents if folder.exists())
            tidy(place)
            with tempfile.TemporaryFile(dir=place) as probe:
                probe.write(bytes(_PROBE))
        except OSError as error:
            room = "Make room there, or choose" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "Choose"
            raise HardenerError(f"{file} could not be written: {error.strerror}. {room} another place.") from None


def tidy(*folders: Path) -> None:
    """Clean what processes that were killed left half written in these folders; what is being written stays.

    A folder that was moved aside for one that never came is put back.
    """
    for folder in folders:
        with contextlib.suppress(OSError):  # no such folder, or one that may only be read
            for path in sorted(folder.iterdir()):
                left = _BESIDE.fullmatch(path.name)
                if left is None or not _is_left(path, left["host"], int(left["pid"])):
                    continue
                place = path.with_name(left["name"])
                if left["old"] and not place.exists():
                    path.rename(place)
                else:
                    _remove(path)


def read_lines_of_json(path: Path) -> list[dict[str, Any]]:
    """Read a file with one JSON object a line; a line that was torn when the machine stopped is passed over."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line)
            if isinstance(value, dict):
                found.append(value)
    return found


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {_strict(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return plain(value) if isinstance(value, str) else value


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _is_left(path: Path, host: str, process: int) -> bool:
    """Say whether the process that wrote this is gone; of another machine's, whether it is old."""
    if host == _host():
        if process == os.getpid():  # or of an earlier process with this number, as a container's first ones have
            return path not in _under_way
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except OSError:  # it lives and is somebody else's
            pass
    return time.time() - path.stat().st_mtime > _FORGOTTEN_S


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
