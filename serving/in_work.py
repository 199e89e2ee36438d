"""What a worker works on, in a file that outlives it, so that its supervisor can say what was lost with it."""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path

SLOTS = 512  # more requests than may be in work, and connections that still send theirs
_SLOT_BYTES = 160


def path_of(folder: Path, pid: int) -> Path:
    """Return where a worker writes."""
    return folder / f"in-work-{pid}"


class InWork:
    """A slot a request: a write of 160 bytes into memory when it begins, and one of a byte when it ends."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing in work.

        Raises:
            OSError: there is no room for the file.
        """
        path = path_of(folder, os.getpid())
        with path.open("w+b") as file:
            if hasattr(os, "posix_fallocate"):  # a first touch of a page for which there is no room would end us
                try:
                    os.posix_fallocate(file.fileno(), 0, SLOTS * _SLOT_BYTES)
                except OSError:
                    path.unlink()
                    raise
            else:
                file.truncate(SLOTS * _SLOT_BYTES)
            self._memory = mmap.mmap(file.fileno(), SLOTS * _SLOT_BYTES)
        self._free = list(range(0, SLOTS * _SLOT_BYTES, _SLOT_BYTES))

    def begin(self, request: str) -> int | None:
        """Note a request; None: there is no slot left."""
        if not self._free:
            return None
        slot = self._free.pop()
        text = request.encode("ascii", "replace")[:_SLOT_BYTES]
        self._memory[slot : slot + _SLOT_BYTES] = text.ljust(_SLOT_BYTES, b"\0")
        return slot

    def end(self, slot: int) -> None:
        """Forget a request."""
        self._memory[slot] = 0
        self._free.append(slot)


def lost_with(folder: Path, pid: int) -> list[str]:
    """Return what a worker that died had in work, and remove its file."""
    path = path_of(folder, pid)
    found: list[str] = []
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        slots = (data[start : start + _SLOT_BYTES] for start in range(0, len(data), _SLOT_BYTES))
        found = [slot.rstrip(b"\0").decode("ascii", "replace") for slot in slots if slot[:1] != b"\0"]
        path.unlink()
    return found
