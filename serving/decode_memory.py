"""How much memory images may take that are decoded at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .admission import busy


class DecodeMemory:
    """Bytes that are handed out to images, first come first served. It belongs to one event loop.

    Attributes:
        most: bytes that all images in work may take together.
    """

    def __init__(self, most: int, *, most_waiting: int) -> None:
        """Begin with nothing handed out."""
        self.most, self._most_waiting = most, most_waiting
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reserved(self, count: int) -> AsyncIterator[None]:
        """Wait for room for `count` bytes, at most `most`, and give it back at the end.

        Raises:
            Problem: 503 too many images wait already.
        """
        assert count <= self.most, "what never fits is refused before"
        await self._take(count)
        try:
            yield
        finally:
            self._taken -= count
            self._hand_out()

    async def _take(self, count: int) -> None:
        if not self._waiting and self._taken + count <= self.most:
            self._taken += count
            return
        if len(self._waiting) >= self._most_waiting:
            raise busy("too many large images wait to be decoded")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._taken -= count  # it was handed out in the same moment
            elif entry in self._waiting:  # else it was passed over, when the one before it ended in the same moment
                self._waiting.remove(entry)
            self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._waiting and self._taken + self._waiting[0][0] <= self.most:
            count, turn = self._waiting.popleft()
            if not turn.done():
                self._taken += count
                turn.set_result(None)
