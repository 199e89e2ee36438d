"""How long training waits for its data."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class WaitTime:
    """Counts the seconds that a consumer spends in `next()`.

    On a GPU this is the host's wait: while the device still has work queued, it costs nothing, so the figure is an
    upper bound of what is lost.

    Attributes:
        seconds: in all that this object has wrapped; may be set back to 0 at any time.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, items: Iterable[T]) -> Iterator[T]:
        """Yield what `items` yields; closed early, it closes a generator `items` too."""
        iterator = iter(items)
        try:
            while True:
                started = time.perf_counter()
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    self.seconds += time.perf_counter() - started
                yield item
        finally:
            if isinstance(iterator, Generator):
                iterator.close()
