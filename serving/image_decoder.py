"""Uploads -> the model's input, in threads where it takes a while; the threads for other such work too."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hardener.config.bundle import InputSpec

from .intake import LARGE_PIXELS, SMALL_PIXELS, Decoded, decode_upload
from .metrics import Metrics
from .observe import span
from .problem import Problem

DECODE_THREADS = 2
INLINE_BYTES = 65_536
"""A body of this size is parsed in less time than a thread takes to start on it."""
T = TypeVar("T")


class ImageDecoder:
    """Decodes small images at once, larger ones in a few threads, and the largest one by one."""

    def __init__(self, metrics: Metrics, *, max_pixels: int) -> None:
        """Start without threads; they come with the work.

        Args:
            metrics: hears of images that are refused.
            max_pixels: an image of more is refused.
        """
        self._metrics, self._max_pixels = metrics, max_pixels
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
            Problem: 413, 415 or 422, as `decode_upload` does.
        """
        if isinstance(data, Problem):
            raise data
        decode = functools.partial(decode_upload, data, spec, max_pixels=self._max_pixels)
        try:
            with span("decode"):
                # Small ones at once: a thread, and its quarrel about the interpreter's lock, would cost as much again.
                image = decode(at_most=SMALL_PIXELS) if len(data) <= INLINE_BYTES else None
                if image is None:
                    image = await run_in(self._threads, functools.partial(decode, at_most=LARGE_PIXELS))
                if image is None:  # one at a time, so that large ones neither hold all threads nor fill the memory
                    image = await run_in(self._large, decode)
        except Problem as problem:
            self._metrics.note_decode_error(problem.status)
            raise
        assert image is not None, "nothing is left alone without at_most"
        return image

    def close(self) -> None:
        """End the threads; what has not begun is dropped."""
        for threads in (self._threads, self._large):
            threads.shutdown(wait=True, cancel_futures=True)


async def run_in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Wait for `work` in one of some threads."""
    return await asyncio.get_running_loop().run_in_executor(threads, work)
