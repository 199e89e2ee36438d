"""A control group with a limit on memory, as a container has one: cgroup v1 or v2, where this user may make groups."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class MemoryLimit:
    """The group while it is there."""

    def __init__(self, folder: Path, *, first: bool) -> None:
        self._folder, self._first = folder, first

    def inside(self, command: list[str]) -> list[str]:
        """Return the command that runs another one, and all that it starts, in the group."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._folder / "cgroup.procs"), *command]

    def killed(self) -> int:
        """Count the processes that the kernel ended since memory ran out."""
        name = "memory.oom_control" if self._first else "memory.events"
        lines = dict(line.split()[:2] for line in (self._folder / name).read_text().splitlines())
        return int(lines["oom_kill"])

    def held_bytes(self) -> int:
        """Return what the processes hold and the kernel could not take back: no cached files."""
        lines = dict(line.split() for line in (self._folder / "memory.stat").read_text().splitlines())
        names = ("total_rss", "total_mapped_file") if self._first else ("anon", "shmem")
        return sum(int(lines[name]) for name in names)


@contextlib.contextmanager
def memory_limit(limit: int) -> Iterator[MemoryLimit]:
    """Make a group of `limit` bytes, without swap, and remove it when all in it have ended.

    Raises:
        OSError: this user may make none.
    """
    first = _V1.is_dir()
    if not first:
        _hand_memory_down(_V2)
    folder = (_V1 if first else _V2) / f"hardener-bench-{os.getpid()}"
    folder.mkdir()
    try:
        _write(folder / ("memory.limit_in_bytes" if first else "memory.max"), limit)
        with contextlib.suppress(OSError):  # a kernel that does not count swap
            _write(folder / ("memory.memsw.limit_in_bytes" if first else "memory.swap.max"), limit if first else 0)
        yield MemoryLimit(folder, first=first)
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.1)


def _hand_memory_down(root: Path) -> None:
    """Let groups below the root of version 2 have a limit on memory: a group has the controllers that its parent lends.

    Raises:
        OSError: the kernel has no such controller here (version 1 may hold it), or the root, as in a container, holds
            processes of its own and so may lend none.
    """
    lent = (root / "cgroup.subtree_control").read_text().split()
    if "memory" in lent:
        return
    if "memory" not in (root / "cgroup.controllers").read_text().split():
        raise OSError(f"{root} has no controller of memory; does this machine keep it in version 1?")
    _write(root / "cgroup.subtree_control", "+memory")


def _write(path: Path, value: int | str) -> None:
    path.write_text(str(value))
