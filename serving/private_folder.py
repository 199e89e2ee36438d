"""Folders of one server alone, which go with it: at its end, or where it was killed, at the next server's start."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_LOCK = "lock"
_held: list[int] = []  # the locks of this process, which the kernel takes back when it ends


def make_private_folder(kind: str, places: Sequence[str | None]) -> Path | None:
    """Make a folder that only this user may enter, and remove those of its kind whose servers have gone.

    Args:
        kind: a word for its name.
        places: where to make it: the first that can be written to; None is the folder for temporary files.
    Returns:
        the folder; None: nothing can be written in any of the places.
    """
    prefix = f"hardener-{kind}-"
    for place in places:
        parent = Path(tempfile.gettempdir() if place is None else place)
        try:
            made = Path(tempfile.mkdtemp(prefix=f"hardener-new-{kind}-", dir=parent))  # of mode 0700
        except OSError:
            continue
        _lock(made / _LOCK)
        # only now it has the name that others look for: without a lock they would take it for left behind
        folder = made.rename(parent / made.name.replace("hardener-new-", "hardener-", 1))
        atexit.register(_remove, folder, os.getpid())
        _sweep(parent, prefix, spare=folder)
        return folder
    return None


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not in a child that was forked
        shutil.rmtree(folder, ignore_errors=True)


def _lock(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _held.append(descriptor)
    if sys.platform != "win32":
        import fcntl

        with contextlib.suppress(OSError):  # a file system without locks: nobody removes what may be in use
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sweep(parent: Path, prefix: str, *, spare: Path) -> None:
    for folder in parent.glob(f"{prefix}*"):
        if folder != spare and _is_left_behind(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(folder: Path) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
