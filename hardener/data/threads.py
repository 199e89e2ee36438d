"""How many threads decode."""

from __future__ import annotations

import os


def decoding_threads() -> int:
    """Return the cores this process may use; decoding lets go of the interpreter, so threads share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 32)
