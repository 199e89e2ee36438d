"""Decoded pixels in a file, with a checksum for each block: what is not as it was written is noticed as it is read."""

from __future__ import annotations

import os
import threading
import weakref
import zlib
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 16  # bytes: little more is read than an image of many takes, and a gigabyte has 64 kB of checksums
IN_MEMORY = 1 << 28  # bytes: a file that is no larger is read as a whole
_UNKNOWN, _WHOLE, _DAMAGED = range(3)


class Checksums:
    """Takes bytes as they are written, and tells the CRC-32 of each block of them."""

    def __init__(self) -> None:
        self._done: list[int] = []
        self._under_way, self._length = 0, 0

    def add(self, data: NDArray[np.uint8]) -> None:
        """Take the next bytes."""
        left = data.data.cast("B")
        while len(left):
            piece, left = left[: BLOCK - self._length], left[BLOCK - self._length :]
            self._under_way, self._length = zlib.crc32(piece, self._under_way), self._length + len(piece)
            if self._length == BLOCK:
                self._close()

    def of_all(self) -> NDArray[np.uint32]:
        """Return one number a block, the last, shorter one included."""
        if self._length:
            self._close()
        return np.array(self._done, "<u4")

    def _close(self) -> None:
        self._done.append(self._under_way)
        self._under_way = self._length = 0


class PixelBlocks:
    """The pixels of images of one size, read from a file as they are asked for, and checked the first time.

    Nothing is mapped: a file that is cut under a process that reads it is a short read and no SIGBUS.

    Args:
        file: holds the pixels from its first byte on; may be closed afterwards.
        checksums: one number a block, as of `Checksums`.
        on_damage: called once, when a block is found damaged.
    """

    def __init__(self, file: BinaryIO, size: int, checksums: NDArray[np.uint32], on_damage: Callable[[], None]) -> None:
        self.nbytes = size
        self._checksums = checksums
        self._states = np.zeros(len(checksums), np.uint8)
        self._descriptor = os.dup(file.fileno())
        self._on_damage, self._first = on_damage, threading.Lock()
        weakref.finalize(self, os.close, self._descriptor)

    def read_into(self, image: NDArray[np.uint8], place: int) -> bool:
        """Fill an array with the image at a place; False where the file no longer holds it as it was written."""
        start = place * image.nbytes
        blocks = range(start // BLOCK, (start + image.nbytes - 1) // BLOCK + 1)
        if (
            all(self._is_whole(block) for block in blocks)
            and os.preadv(self._descriptor, [image.data.cast("B")], start) == image.nbytes
        ):
            return True
        if self._first.acquire(blocking=False):
            self._on_damage()
        return False

    def read_all(self) -> NDArray[np.uint8] | None:
        """Return all pixels, flat; None where they are not as they were written."""
        pixels = np.empty(self.nbytes, np.uint8)
        for block in range(len(self._checksums)):
            piece = pixels.data[block * BLOCK : (block + 1) * BLOCK]
            found = os.preadv(self._descriptor, [piece], block * BLOCK)
            if found != len(piece) or zlib.crc32(piece) != self._checksums[block]:
                return None
        return pixels

    def _is_whole(self, block: int) -> bool:
        if self._states[block] == _UNKNOWN:
            wanted = min(BLOCK, self.nbytes - block * BLOCK)
            found = os.pread(self._descriptor, wanted, block * BLOCK)
            whole = len(found) == wanted and zlib.crc32(found) == self._checksums[block]
            self._states[block] = _WHOLE if whole else _DAMAGED
        return bool(self._states[block] == _WHOLE)
