"""One process works on a folder at a time: a lock that the kernel takes back when its process ends, however it does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hardener.config.files import READ_ONLY
from hardener.errors import HardenerError

LOCK = ".lock"
_TAKEN = {errno.EWOULDBLOCK, errno.EACCES}


@contextlib.contextmanager
def locked(folder: Path, doing: str, warn: Callable[[str], None], *, name: str = LOCK) -> Iterator[None]:
    """Hold a folder's lock inside the `with`.

    The lock ends with this process, also where it is killed. On a file system without locks, `warn` is told.

    Args:
        doing: what is done meanwhile, such as "trained", for whoever finds it taken.
        name: of the lock's file; different ones do not exclude each other.
    Raises:
        HardenerError: another process holds it, or the folder may only be read.
    """
    path = folder / name
    descriptor = _take(path, doing, warn)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if descriptor is not None and _is_at(descriptor, path):
                path.unlink()
        if descriptor is not None:
            os.close(descriptor)


def holder(folder: Path, *, name: str = LOCK) -> str | None:
    """Return who holds a folder's lock now, such as "process 12 on thor"; None: nobody."""
    path = folder / name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return _describe(descriptor)["by"] if error.errno in _TAKEN else None
    finally:
        os.close(descriptor)
    return None


def _take(path: Path, doing: str, warn: Callable[[str], None]) -> int | None:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            raise HardenerError(
                f"{path.parent} cannot be written to ({error.strerror}), and what is made here is kept in it. Make it "
                "writable, or copy it to where you may write."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            told = _describe(descriptor)
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise HardenerError(
                    f"{path.parent} is being {told['doing']} by {told['by']}. Wait until it ends, or stop it first."
                ) from None
            warn(
                f"the file system of {path.parent} has no locks ({error.strerror}): see to it that no other process "
                "works on it meanwhile"
            )
            return None
        if not _is_at(descriptor, path):  # its last holder removed it as this process opened it
            os.close(descriptor)
            continue
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"doing": doing, "by": _me()}).encode(), 0)
        return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _describe(descriptor: int) -> dict[str, Any]:
    told: Any = None
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(os.pread(descriptor, 4096, 0))
    known = told if isinstance(told, dict) else {}
    return {"doing": known.get("doing", "worked on"), "by": known.get("by", "another process")}
