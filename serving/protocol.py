"""The short way from a connection to the app, and an end of a connection that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import HTTP_PROTOCOLS

from .ending import CLOSE, Ending
from .http_bounds import BoundedProtocol


def answer_directly(app: ASGIApp) -> None:
    """Let the uvicorn server that this process is about to start hand its requests to `app`.

    BentoML's own layers cost as much CPU as all of our work on a request, and its timeout keeps the memory of each
    for as long as the timeout lasts. The app has deadlines, probes and figures of its own.
    """
    DirectProtocol.direct = app
    HTTP_PROTOCOLS["auto"] = f"{__name__}:DirectProtocol"


def take_all_before_closing(ending: Ending) -> None:
    """Let the uvicorn server that this process is about to start drain, and take every connection that waits.

    The kernel makes connections before a server takes them, and resets those that wait when the last process closes
    the socket. A busy event loop looks at them once in some milliseconds.
    """
    shutdown = uvicorn.Server.shutdown

    async def take_all(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        await ending.drain(server)
        make = functools.partial(
            server.config.http_protocol_class,  # type: ignore[call-arg]
            config=server.config,
            server_state=server.server_state,
            app_state=server.lifespan.state,
        )
        for _ in range(10):  # more may come while these are taken
            taken = [connection for listener in sockets or () for connection in _waiting(listener)]
            if not taken:
                break
            for connection in taken:
                await asyncio.get_running_loop().connect_accepted_socket(make, connection, ssl=server.config.ssl)
        await shutdown(server, sockets)

    uvicorn.Server.shutdown = take_all  # type: ignore[method-assign,assignment]


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    with contextlib.suppress(BlockingIOError):
        while True:
            yield listener.accept()[0]


class DirectProtocol(BoundedProtocol):
    """A connection whose requests go to `direct` and pass by the app that the server was made with."""

    drain_seconds: ClassVar[float] = 0.5
    direct: ClassVar[Any]  # an ASGI app; uvicorn's types for one are not those of starlette
    _draining = False

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.app = self.direct
        self.access_log = False  # the app writes its own; nobody sees this one, but its line would be put together

    def on_headers_complete(self) -> None:
        """Hear that a request is there; while the server stops, it is the connection's last."""
        super().on_headers_complete()
        if self._draining and not self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End the connection after its answer. One without a request may still send the one that is under way."""
        self._draining = True
        if CLOSE not in self.server_state.default_headers:
            self.server_state.default_headers.append(CLOSE)  # of every answer, those of requests in work too
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(self.drain_seconds, self._close_if_idle)
        else:
            super().shutdown()

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
