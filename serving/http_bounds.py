"""Bounds on a connection that no ASGI app can set, as it hears of a request only when its headers are there."""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hardener.errors import HardenerError

from .settings import Settings

_MOST = 1000
TOO_LARGE = "the request's headers are too large."
PLACE = f"{__name__}:BoundedProtocol"


def use_bounded_protocol() -> None:
    """Let every uvicorn server that is made from now on, in this process, use `BoundedProtocol`.

    BentoML hands uvicorn no protocol; uvicorn looks its default up in this table.
    """
    from uvicorn.config import HTTP_PROTOCOLS

    HTTP_PROTOCOLS["auto"] = PLACE


def _room_for_connections() -> int | None:
    """Leave some file descriptors to the process itself: without one it could not even refuse a connection."""
    if sys.platform == "win32":
        return 400
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files == resource.RLIM_INFINITY else max(16, files - 100)


def check_open_files(settings: Settings) -> None:
    """Find out whether as many connections as the settings allow could be open.

    Raises:
        HardenerError: the system allows this process fewer files.
    """
    room = _room_for_connections()
    if settings.max_connections is not None and room is not None and settings.max_connections > room:
        raise HardenerError(
            f"HARDENER_MAX_CONNECTIONS is {settings.max_connections}, but the system lets this process open files for "
            f"{room} at most. Lower it, or raise the bound on open files (`ulimit -n`, LimitNOFILE)."
        )


class _BadHead(Exception):
    pass


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with an end to its patience: for headers, for readers, in bytes and in connections.

    A request's body is bounded where it is read, by the app. Every connection speaks HTTP/1: an offer to change to
    another protocol is not taken up, and the request is answered as if it had not been made (RFC 9110, section 7.8).
    """

    header_timeout_s: ClassVar[float] = Settings.header_timeout_s
    keep_alive_timeout_s: ClassVar[float] = Settings.keep_alive_timeout_s
    write_timeout_s: ClassVar[float] = Settings.write_timeout_s
    max_header_bytes: ClassVar[int] = Settings.max_header_bytes
    max_headers: ClassVar[int] = Settings.max_headers
    max_connections: ClassVar[int] = min(_MOST, _room_for_connections() or _MOST)
    _waiting: ClassVar[dict[BoundedProtocol, None]] = {}  # for a request, the longest first

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _in_head = False
    _in_message = False
    _begun = 0  # heads, in the last read
    _head_bytes = 0
    _in_work: RequestResponseCycle | None = None  # uvicorn's own `cycle` is the last one, which may wait behind it
    _is_deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; beyond `max_connections` the one that has waited longest without a request goes."""
        super().connection_made(transport)
        self.timeout_keep_alive = self.keep_alive_timeout_s  # type: ignore[assignment]
        if len(self.connections) > self.max_connections:
            if not self._waiting:
                self._refuse(503, "too many connections. Try again shortly.", "retry-after: 1\r\n")
                return
            next(iter(self._waiting))._late()
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._unset_keepalive_if_required()
        if self._is_deaf:
            return
        alone, self._begun = not self._in_message, 0
        self._parse(data)
        if self._in_head and not self._is_deaf:
            if not self._begun:
                self._head_bytes += len(data)
            elif alone and self._begun == 1:
                self._head_bytes = len(data)
            else:  # what came before it in this read is no part of it, and a read has an end
                self._head_bytes = 0
            if self._head_bytes > self.max_header_bytes:
                self._refuse(431, TOO_LARGE)
                return
        # a refused upload that goes on has this time too, so that its client can read the refusal
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()

    def _parse(self, data: bytes) -> None:
        while data and not self._is_deaf:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stop:
                # the parser holds what follows for the other protocol, a body too; a new one reads it as HTTP/1
                data = self._head_without_upgrade() + data[stop.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("")
                return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _should_upgrade(self) -> bool:
        return True  # uvicorn leaves a request alone then, until `_parse` has made another one of it

    def on_message_begin(self) -> None:
        """Hear that a request begins."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._begun += 1

    def on_message_complete(self) -> None:
        """Hear that a request's body is there."""
        self._in_message = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Hear that a request's headers are there."""
        version = self.parser.get_http_version()
        if self._head_is_too_large() or (version == "1.1" and not self._has_one_host()):
            raise _BadHead  # the parser gives up, and `send_400_response` is called
        if self.parser.get_method() == b"CONNECT":
            raise _BadHead  # no proxy; what follows would be a stranger's protocol
        if self.parser.should_upgrade():
            return
        self._in_head = False
        self._end_head_timer()
        super().on_headers_complete()
        if version == "1.0":  # RFC 9112, sections 6.1 and 9.3; uvicorn ends each of these connections
            chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
            self.cycle.keep_alive = self.parser.should_keep_alive() and not chunked

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._in_work = cycle
        super()._start_asgi_task(cycle, _keeping_alive(app, cycle) if cycle.scope["http_version"] == "1.0" else app)

    def on_response_complete(self) -> None:
        """Hear that an answer is written; without another request the connection is one that may go."""
        super().on_response_complete()
        if self._in_work is None or self._in_work.response_complete:
            self._waiting[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head_timer()
        self._leave_request()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Hear that the client does not read."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.write_timeout_s, self._cut_off)

    def resume_writing(self) -> None:
        """Hear that it does."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed."""
        if self._in_head and self.headers is not None and self._head_is_too_large():
            many = len(self.headers) > self.max_headers
            how = f"the request has more than {self.max_headers} headers." if many else TOO_LARGE
            self._refuse(431, how)
        else:
            self._refuse(400, "this is no HTTP request that can be read.")

    def _head_is_too_large(self) -> bool:
        """Is it, though all of it came in one read?"""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        return len(self.headers) > self.max_headers or size > self.max_header_bytes

    def _has_one_host(self) -> bool:
        return sum(name == b"host" for name, _ in self.headers) == 1  # RFC 9112, section 3.2

    def _await_head(self) -> None:
        self._waiting.pop(self, None)
        self._head_timer = self.loop.call_later(self.header_timeout_s, self._late)
        self._waiting[self] = None

    def _end_head_timer(self) -> None:
        self._waiting.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut_off(self) -> None:
        self._leave_request()
        self.transport.abort()

    def _leave_request(self) -> None:
        """Let the request in work know that nobody waits for it; uvicorn tells the last one that came."""
        if self._in_work is not None and not self._in_work.response_complete:
            self._in_work.disconnected = True
            self._in_work.message_event.set()

    def _late(self) -> None:
        self._end_head_timer()
        if self._in_head:
            self._refuse(408, "the request's headers did not come in time.")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str, header: str = "") -> None:
        self._end_head_timer()
        self._is_deaf = True
        last = self.cycle
        if last is not None and not last.response_complete and not (last is self._in_work and last.more_body):
            last.keep_alive = False  # the answers to what came before go first, and then the connection
            return
        if self.transport.is_closing():
            return
        self._leave_request()
        title = HTTPStatus(status).phrase
        document: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        body = json.dumps(document, separators=(",", ":"))
        head = f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n{header}connection: close\r\n\r\n{body}".encode())
        self.transport.close()


def _keeping_alive(app: ASGIApp, cycle: RequestResponseCycle) -> Any:  # uvicorn has types of its own for an app
    """Say in the answer that the connection stays, which HTTP/1.0 does not take for granted."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start" and cycle.keep_alive:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"keep-alive")]}
            await send(message)

        await app(scope, receive, mark)

    return answer


def bound_connections_by(settings: Settings) -> None:
    """Give every connection of this process the bounds of the settings."""
    BoundedProtocol.header_timeout_s = settings.header_timeout_s
    BoundedProtocol.keep_alive_timeout_s = settings.keep_alive_timeout_s
    BoundedProtocol.write_timeout_s = settings.write_timeout_s
    BoundedProtocol.max_header_bytes = settings.max_header_bytes
    BoundedProtocol.max_headers = settings.max_headers
    if settings.max_connections is not None:
        BoundedProtocol.max_connections = settings.max_connections
