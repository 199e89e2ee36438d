"""Threads that decode: how many, and work that is shared among them and can be stopped."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_AHEAD = 16  # tasks of each thread that are begun before their turn
T = TypeVar("T")
R = TypeVar("R")


def decoding_threads() -> int:
    """Return the cores this process may use; decoding lets go of the interpreter, so threads share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 32)


def mapped(
    work: Callable[[T], R], items: Iterable[T], on_done: Callable[[int], object] = lambda done: None
) -> Iterator[R]:
    """Yield what work makes of each item, in order; threads are a little ahead, and end where the caller stops.

    Args:
        on_done: called with 1 for each item.
    """
    count = decoding_threads()
    waiting = iter(items)
    pool = ThreadPoolExecutor(count, thread_name_prefix="images")
    try:
        begun = deque(pool.submit(work, item) for item in islice(waiting, _AHEAD * count))
        while begun:
            found = begun.popleft().result()
            begun.extend(pool.submit(work, item) for item in islice(waiting, 1))
            on_done(1)
            yield found
    finally:
        pool.shutdown(cancel_futures=True)
