"""Bounds on connections, over loopback."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from hardener.errors import HardenerError
from serving.http_bounds import BoundedProtocol, bound_connections_by, check_open_files
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SHORT_S = 0.25  # long enough for a busy machine to send what is meant to come in time
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body; `/large` answers more than the buffers between client and server hold."""
    if scope["path"] == "/refuse":
        await PlainTextResponse("no", status_code=401)(scope, receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    await PlainTextResponse("x" * 50_000_000 if scope["path"] == "/large" else "good")(scope, receive, send)


@asynccontextmanager
async def listening(**bounds: Any) -> AsyncIterator[Connect]:
    kind = type("Bounded", (BoundedProtocol,), bounds | {"_waiting": {}})
    config = uvicorn.Config(inner, log_config=None, lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(config, state, {}), "127.0.0.1", 0)
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writers.append(writer)
        return reader, writer

    try:
        async with asyncio.timeout(60):
            yield connect
    finally:
        for writer in writers:
            writer.close()
        server.close()
        while state.connections:
            await asyncio.sleep(0.001)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return int(head.split()[1]), await reader.readexactly(length)


def run(conversation: Callable[[Connect], Awaitable[None]], **bounds: Any) -> None:
    async def main() -> None:
        async with listening(**bounds) as connect:
            await conversation(connect)

    asyncio.run(main())


def test_requests_on_one_connection_are_answered_whole_split_and_pipelined() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(REQUEST)
        assert await answer(reader) == (200, b"good")
        for byte in REQUEST:
            writer.write(bytes([byte]))
            await writer.drain()
        assert await answer(reader) == (200, b"good")
        writer.write(REQUEST * 3)
        assert [await answer(reader) for _ in range(3)] == [(200, b"good")] * 3

    run(conversation)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n", REQUEST + b"GET / HT"])
def test_headers_that_do_not_come_end_the_connection(sent: bytes) -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(sent)
        if sent.startswith(REQUEST):
            assert await answer(reader) == (200, b"good")
            writer.write(b"TP/1.1\r\nx: ")
        if sent:
            status, body = await answer(reader)
            assert (status, json.loads(body)["status"]) == (408, 408)
        assert await reader.read() == b""

    run(conversation, header_timeout_s=SHORT_S)


def test_a_body_may_take_longer_than_headers() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n")
        other, _ = await connect()
        assert await other.read() == b""  # so the time for headers has passed
        writer.write(b"body")
        assert await answer(reader) == (200, b"good")

    run(conversation, header_timeout_s=SHORT_S)


def test_an_upload_that_goes_on_after_its_refusal_ends() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
        assert await answer(reader) == (401, b"no")
        with pytest.raises(ConnectionError):
            while True:
                writer.write(bytes(1000))
                await writer.drain()
                await asyncio.sleep(0)

    run(conversation, header_timeout_s=SHORT_S)


def test_headers_without_end_are_refused() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 70_000)
        status, body = await answer(reader)
        assert (status, json.loads(body)["detail"]) == (431, "the request's headers are too large.")
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 70_000 + b"\r\n\r\n")
        status, body = await answer(reader)
        assert (status, json.loads(body)["detail"]) == (431, "the request's headers are too large.")
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 101 + b"\r\n")
        status, body = await answer(reader)
        assert (status, json.loads(body)["detail"]) == (431, "the request has more than 100 headers.")
        assert await reader.read() == b""

    run(conversation)


def test_what_is_no_http_gets_a_problem() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"\x16\x03\x01 no http\r\n\r\n")
        status, body = await answer(reader)
        assert (status, json.loads(body)["detail"]) == (400, "this is no HTTP request that can be read.")

    run(conversation)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\naccept: */*\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    ],
    ids=["no header", "no host", "two hosts"],
)
def test_a_request_names_its_host_once(request_bytes: bytes) -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(request_bytes)
        assert (await answer(reader))[0] == 400

    run(conversation)


def test_the_old_protocol_needs_no_host() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert await answer(reader) == (200, b"good")

    run(conversation)


def test_a_client_who_reads_nothing_is_cut_off() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(REQUEST.replace(b"/ ", b"/large ", 1))
        await reader.readuntil(b"\r\n\r\n")
        other, _ = await connect()
        assert await other.read() == b""  # its time for headers, which is longer, has passed
        received = 0
        try:
            while data := await reader.read(1_000_000):
                received += len(data)
        except ConnectionError:
            pass
        assert received < 50_000_000

    run(conversation, write_timeout_s=0.05, header_timeout_s=SHORT_S)


def test_beyond_the_most_connections_the_longest_idle_one_makes_room() -> None:
    async def conversation(connect: Connect) -> None:
        first, _ = await connect()
        second, second_writer = await connect()
        third, third_writer = await connect()
        assert await first.read() == b""
        for reader, writer in ((second, second_writer), (third, third_writer)):
            writer.write(REQUEST)
            assert await answer(reader) == (200, b"good")

    run(conversation, max_connections=2)


def test_more_connections_than_open_files_are_refused() -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    check_open_files(Settings(bundles=(), max_connections=16))
    with pytest.raises(HardenerError, match=rf"is {files - 99}, but the system lets .* {files - 100} at most\. Lower"):
        check_open_files(Settings(bundles=(), max_connections=files - 99))


def test_the_settings_bound_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"header_timeout_s": 3.0, "write_timeout_s": 4.0, "max_header_bytes": 2000, "max_headers": 20}
    for name in (*wanted, "max_connections"):
        monkeypatch.setattr(BoundedProtocol, name, getattr(BoundedProtocol, name))  # put back afterwards
    bound_connections_by(Settings(bundles=(), max_connections=17, **wanted))  # type: ignore[arg-type]
    assert {name: getattr(BoundedProtocol, name) for name in wanted} == wanted
    assert BoundedProtocol.max_connections == 17


def test_where_every_connection_has_a_request_a_new_one_is_told_to_come_back() -> None:
    async def conversation(connect: Connect) -> None:
        busy, busy_writer = await connect()
        busy_writer.write(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        assert await busy.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        refused, _ = await connect()
        head = await refused.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in head
        busy_writer.write(b"body")
        assert await answer(busy) == (200, b"good")

    run(conversation, max_connections=1)


def test_uvicorn_takes_the_bounded_protocol_where_none_is_named() -> None:
    script = (
        "import uvicorn; from serving.http_bounds import BoundedProtocol, use_bounded_protocol\n"
        "use_bounded_protocol()\n"
        "config = uvicorn.Config(lambda: None); config.load()\n"
        "assert config.http_protocol_class is BoundedProtocol, config.http_protocol_class\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
