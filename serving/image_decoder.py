"""Uploads -> the model's input, in threads where it takes a while; the threads for other such work too."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hardener.config.bundle import InputSpec

from .decode_memory import DecodeMemory
from .intake import LARGE_PIXELS, SMALL_PIXELS, Decoded, open_upload
from .metrics import Metrics
from .observe import span
from .problem import Problem
from .settings import Settings

DECODE_THREADS = 2
INLINE_BYTES = 65_536
"""A body of this size is parsed in less time than a thread takes to start on it."""
T = TypeVar("T")


class ImageDecoder:
    """Decodes small images at once, larger ones in a few threads, and the largest one by one, as memory allows."""

    def __init__(self, metrics: Metrics, settings: Settings) -> None:
        """Start without threads; they come with the work.

        Args:
            metrics: hears of images that are refused.
        """
        self._metrics, self._settings = metrics, settings
        self._memory = DecodeMemory(settings.max_decode_bytes, most_waiting=settings.max_waiting)
        self._threads = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="decode-large")

    async def run(self, work: Callable[[], T], *, size: int) -> T:
        """Do what takes a while for a body of `size` bytes: at once where that is short, else in a thread."""
        return work() if size <= INLINE_BYTES else await run_in(self._threads, work)

    async def decode(self, data: bytes | Problem, spec: InputSpec) -> Decoded:
        """Decode an image file to the input of a model.

        Args:
            data: the file, or what was wrong with it already.
        Raises:
            Problem: 413, 415 or 422 as `open_upload` does, 503 where too many images wait for memory.
        """
        if isinstance(data, Problem):
            raise data
        settings = self._settings
        open_it = functools.partial(
            open_upload,
            data,
            spec,
            max_pixels=settings.max_pixels,
            max_side=settings.max_side,
            max_bytes=settings.max_decode_bytes,
        )
        try:
            with span("decode"):
                opened = await self.run(open_it, size=len(data))
                # Small ones at once: a thread, and its quarrel about the interpreter's lock, would cost as much again.
                if opened.pixels <= SMALL_PIXELS and len(data) <= INLINE_BYTES:
                    return opened.decode()
                async with self._memory.reserved(opened.needs):
                    # the largest one at a time, so that they do not hold all threads
                    threads = self._threads if opened.pixels <= LARGE_PIXELS else self._large
                    return await run_in(threads, opened.decode)
        except Problem as problem:
            self._metrics.note_decode_error(problem.status)
            raise

    def close(self) -> None:
        """End the threads; what has not begun is dropped."""
        for threads in (self._threads, self._large):
            threads.shutdown(wait=True, cancel_futures=True)


async def run_in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Wait for `work` in one of some threads."""
    return await asyncio.get_running_loop().run_in_executor(threads, work)
