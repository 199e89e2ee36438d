"""How a report asks the model: in small chunks of low priority, until its time is up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Logits = NDArray[np.float32]
MakeImages = Callable[[], Pixels]


T = TypeVar("T")


class InThread(Protocol):
    """Calls a function that takes a while off the event loop."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Return what `work` returns."""


@dataclass(frozen=True)
class ModelAccess:
    """What a report may use of the service.

    Attributes:
        submit: (n, H, W, C), 1 <= n <= `chunk` -> logits (n, K), behind all plain requests.
        in_thread: calls a function that takes a while off the event loop.
        chunk: images in one run of the model.
        window: chunks that one part of the report has under way at a time, so that making images and running the
            model overlap.
    """

    submit: Callable[[Pixels], Awaitable[Logits]]
    in_thread: InThread
    chunk: int
    window: int


class TimedModel:
    """Asks on behalf of one report, and keeps its account. Belongs to one event loop."""

    def __init__(self, access: ModelAccess, *, seconds: float) -> None:
        """Start the clock: nothing is asked any more when `seconds` are over."""
        self.chunk = access.chunk
        self.in_thread = access.in_thread
        self.answered = 0
        self.cut_short = False
        self._access = access
        self._seconds = seconds
        self._started = asyncio.get_running_loop().time()

    @property
    def spent_s(self) -> float:
        """The time since the start."""
        return asyncio.get_running_loop().time() - self._started

    async def ask(self, blocks: Iterable[MakeImages]) -> Logits | None:
        """Ask about blocks of images, which are made while others are in the model.

        Args:
            blocks: each makes (n, H, W, C), n >= 1, in a thread; a block beyond the first is made when it is due.
        Returns:
            (m, K), the answers to the first m images: all of them, or those that had their answer when the time ran
            out. None where there are none.
        Note: which answers are there when the time runs out depends on the clock alone, never on what they say.
        """
        if self.spent_s >= self._seconds:
            self.cut_short = True
            return None
        answers: list[Logits] = []
        running: deque[asyncio.Future[Logits]] = deque()
        try:
            async with asyncio.timeout_at(self._started + self._seconds) as clock:
                for make in blocks:
                    block = await self.in_thread(make)
                    for start in range(0, len(block), self.chunk):
                        if len(running) == self._access.window:
                            answers.append(await running.popleft())
                        running.append(asyncio.ensure_future(self._access.submit(block[start : start + self.chunk])))
                while running:
                    answers.append(await running.popleft())
        except TimeoutError:
            if not clock.expired():
                raise
            self.cut_short = True
        finally:
            for future in running:
                future.cancel()
            if running:
                await asyncio.wait(running)  # so that no job is queued any more when this returns
        self.answered += sum(map(len, answers))
        return np.concatenate(answers) if answers else None
