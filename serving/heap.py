"""What the C library does with memory that is given back."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE = 1 << 20


def give_large_blocks_back() -> None:
    """Let glibc return every block of a megabyte or more to the system as soon as it is free.

    Left alone, it raises that bound with each large image, and keeps the memory of every thread that decoded one:
    some images of 50 megapixels would leave hundreds of megabytes with the process for good.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
