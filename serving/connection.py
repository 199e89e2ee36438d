"""Whether anybody still waits for the answer."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.requests import ClientDisconnect, Request


class while_connected:
    """Cancel what is awaited inside when the client goes: a report costs far too much to be made for nobody.

    Raises:
        ClientDisconnect: it went.
    """

    def __init__(self, request: Request) -> None:
        """Watch the connection of a request whose body was read."""
        self._request = request
        self._gone = False

    async def __aenter__(self) -> None:
        self._waiter = asyncio.current_task()
        self._watch = asyncio.get_running_loop().create_task(_disconnected(self._request))
        self._watch.add_done_callback(self._cancel_waiter)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.remove_done_callback(self._cancel_waiter)
        self._watch.cancel()
        if self._gone and kind is asyncio.CancelledError and self._waiter is not None and not self._waiter.uncancel():
            raise ClientDisconnect from None

    def _cancel_waiter(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled() and self._waiter is not None:
            self._gone = True
            self._waiter.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
