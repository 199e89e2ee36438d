"""How a server ends: a connection that the kernel has made is answered, though the server had not looked at it yet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from serving import protocol
from serving.ending import Ending
from serving.settings import Settings

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.setblocking(False)
        yield made


def test_what_waits_in_the_kernel_when_a_server_stops_is_answered(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn.Server, "shutdown", uvicorn.Server.shutdown)  # put back afterwards
    monkeypatch.setattr(protocol.DirectProtocol, "direct", staticmethod(app), raising=False)
    ending = Ending()
    ending.go_by(Settings(bundles=(), drain_s=0))
    protocol.take_all_before_closing(ending)
    address = listener.getsockname()

    async def scene() -> list[bytes]:
        config = uvicorn.Config(app, http=protocol.DirectProtocol, lifespan="off", log_config=None)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        with ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
            for client in clients:
                client.sendall(REQUEST)
            await server.shutdown(sockets=[listener])  # the loop had no turn to take them
            for client in clients:
                client.settimeout(60)
            return [client.recv(1000) for client in clients]

    answers = asyncio.run(scene())
    assert [answer.split(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 3
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
