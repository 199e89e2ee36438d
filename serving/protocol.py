"""HTTP connections with bounds that uvicorn does not have, and a short way from them to the app.

uvicorn waits for ever for a request's headers, httptools takes headers of any size, and neither counts connections.
BentoML's own worker makes the server, so this class is put where uvicorn looks its protocol up: see `install`.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, ClassVar

import uvicorn.config
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from .problem import Problem, problem_response

HEADER_TIMEOUT_S = 10.0
MAX_HEADER_BYTES = 32_768
DRAIN_S = 0.5
MAX_CONNECTIONS = 4096
SPARE_FILES = 128


def install(app: ASGIApp) -> None:
    """Let the uvicorn server that this process is about to start speak `BoundedProtocol`, and hand it to `app`.

    What BentoML would put between, its timer and its trace of every request, costs as much as all of our own work and
    keeps the memory of every request until its timer ends.
    """
    BoundedProtocol.direct = app
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:BoundedProtocol"


class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """One connection. A timer runs while no request is in work: it ends a connection that sends none, or half a head."""

    direct: ClassVar[ASGIApp]

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.app = _front(config, self.direct)
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the timer; refuse the connection where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > _most_connections():
            self._refuse(Problem(503, "too many connections are open. Try again shortly.", retry_after_s=1))
        else:
            self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._end_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on, unless it is part of a head that is too long."""
        if not self._in_work():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES and self._head_goes_on(data):
                self._refuse(Problem(431, f"the headers have more than {MAX_HEADER_BYTES:,} bytes"))
                return
        super().data_received(data)
        if self._in_work():
            self._stop_timer()
            self._head_bytes = 0
            if self._draining:
                self.cycle.keep_alive = False
        elif self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._end_slow_head)

    def shutdown(self) -> None:
        """End the connection after its answer; one that waits may still send a request that is under way."""
        close = (b"connection", b"close")
        if close not in self.server_state.default_headers:
            self.server_state.default_headers.append(close)
        self._draining = True
        if self._in_work():
            super().shutdown()
        else:
            self.loop.call_later(DRAIN_S, self._close_if_idle)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP."""
        self._refuse(Problem(400, msg))

    def _in_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _head_goes_on(self, data: bytes) -> bool:
        """Does no head end in the part of `data` that lies within the bound?"""
        room = MAX_HEADER_BYTES - (self._head_bytes - len(data))
        return data.find(b"\r\n\r\n", 0, max(0, room)) < 0

    def _end_slow_head(self) -> None:
        self._timer = None
        if self.transport.is_closing() or self._in_work():
            return
        if self._head_bytes:
            self._refuse(Problem(408, f"the headers did not arrive within {HEADER_TIMEOUT_S:g} seconds"))
        else:
            self.transport.close()

    def _close_if_idle(self) -> None:
        if not self.transport.is_closing() and not self._in_work():
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer without any app, and close."""
        self._stop_timer()
        response = problem_response(problem)
        head = [f"HTTP/1.1 {problem.status} {problem.document().title}".encode()]
        head += [name + b": " + value for name, value in response.raw_headers]
        head.append(b"connection: close")
        if not self.transport.is_closing():
            self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + bytes(response.body))
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _front(config: uvicorn.Config, direct: ASGIApp) -> Any:
    if getattr(config, "hardener_front", None) is None:
        trusted = config.forwarded_allow_ips
        front = ProxyHeadersMiddleware(direct, trusted_hosts=trusted) if config.proxy_headers else direct  # type: ignore[arg-type]
        config.hardener_front = front  # type: ignore[attr-defined]
    return config.hardener_front  # type: ignore[attr-defined]


def _most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(MAX_CONNECTIONS, files - SPARE_FILES))
