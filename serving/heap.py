"""What the C library does with memory that is given back."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGE, _KEPT = 2 << 20, 4 << 20


def give_large_blocks_back() -> None:
    """Let glibc return every block of two megabytes or more to the system as soon as it is free.

    Left alone, it raises that bound with each large image, and keeps the memory of every thread that decoded one:
    some images of 50 megapixels would leave hundreds of megabytes with the process for good. Smaller blocks, such as a
    batch or an image being decoded, come and go with each request: up to 4 MB of them stay with each thread, because
    pages that were handed back must be faulted in and cleared again.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
            libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)
