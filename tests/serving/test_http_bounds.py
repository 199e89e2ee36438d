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
import uvloop
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from hardener.errors import HardenerError
from serving.http_bounds import BoundedProtocol, bound_connections_by, check_open_files
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SHORT_S = 0.25  # long enough for a busy machine to send what is meant to come in time
ends: list[str] = []  # what an app that waits at /wait has heard
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body; `/large` answers more than the buffers between client and server hold, `/echo` the body."""
    if scope["path"] == "/refuse":
        await PlainTextResponse("no", status_code=401)(scope, receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    if scope["path"] == "/wait":
        ends.append((await receive())["type"])
    said = {"/large": b"x" * 50_000_000, "/echo": body}.get(scope["path"], b"good")
    await PlainTextResponse(said)(scope, receive, send)


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

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the service does
        runner.run(main())


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


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
WEBSOCKET = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("step", [1, 50, 10_000], ids="in pieces of {}".format)
def test_an_offer_to_upgrade_is_ignored_and_the_body_read(offer: bytes, step: int) -> None:
    inside = b"GET /inside HTTP/1.1\r\nhost: x\r\n\r\n"  # a body that must not be taken for a request
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (inside[:9], inside[9:])) + b"0\r\n\r\n"
    sent = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%s\r\n%s" % (len(inside), offer, inside)
    sent += b"GET / HTTP/1.1\r\nhost: x\r\n%s\r\n" % offer
    sent += b"POST /echo HTTP/1.1\r\nhost: x\r\n%stransfer-encoding: chunked\r\n\r\n%s" % (offer, chunked) + REQUEST

    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        for start in range(0, len(sent), step):
            writer.write(sent[start : start + step])
            await writer.drain()
        assert [await answer(reader) for _ in range(4)] == [
            (200, inside),
            (200, b"good"),
            (200, inside),
            (200, b"good"),
        ]
        writer.write(b"no http\r\n\r\n")
        assert (await answer(reader))[0] == 400  # nothing was answered between

    run(conversation)


@pytest.mark.parametrize("target", [b"x:1", b"/"])
def test_it_is_no_proxy(target: bytes) -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(b"CONNECT %s HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc" % target + REQUEST)
        assert (await answer(reader))[0] == 400
        assert await reader.read() == b""

    run(conversation)


def test_an_old_client_may_keep_its_connection() -> None:
    async def conversation(connect: Connect) -> None:
        for how, stays in (
            (b"connection: keep-alive\r\n\r\n", True),
            (b"\r\n", False),
            (b"connection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False),
        ):
            reader, writer = await connect()
            for _ in range(2 if stays else 1):
                writer.write(b"POST / HTTP/1.0\r\n" + how)
                head = await reader.readuntil(b"\r\n\r\n")
                assert (b"connection: keep-alive" in head, b"connection: close" in head) == (stays, not stays)
                assert await reader.readexactly(4) == b"good"
            if not stays:
                assert await reader.read() == b""

    run(conversation)


def test_a_connection_stays_between_requests_for_a_while() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        for _ in range(3):
            writer.write(REQUEST)
            assert await answer(reader) == (200, b"good")
            await asyncio.sleep(SHORT_S / 2)
        assert await reader.read() == b""

    run(conversation, keep_alive_timeout_s=SHORT_S)


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


def test_a_body_before_them_does_not_count_as_headers() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        body = bytes(100_000)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body) + REQUEST[:-2])
        assert await answer(reader) == (200, b"good")
        writer.write(REQUEST[-2:])
        assert await answer(reader) == (200, b"good")

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


def test_whoever_sends_more_and_reads_nothing_is_cut_off_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def conversation(connect: Connect) -> None:
        _, writer = await connect()
        with pytest.raises(ConnectionError):
            while True:
                writer.write(REQUEST.replace(b"/ ", b"/large ", 1) * 2)
                await writer.drain()
                await asyncio.sleep(0.01)

    run(conversation, write_timeout_s=0.05)
    assert not caplog.text


def test_a_client_who_goes_is_missed_though_it_has_sent_another_request() -> None:
    async def conversation(connect: Connect) -> None:
        _, writer = await connect()
        writer.write(REQUEST.replace(b"/ ", b"/wait ", 1) + REQUEST)
        await writer.drain()
        await asyncio.sleep(SHORT_S)
        assert not ends
        writer.close()
        while not ends:
            await asyncio.sleep(0.001)
        assert ends.pop() == "http.disconnect"

    run(conversation)


def test_what_is_no_http_waits_for_the_answer_to_what_came_before() -> None:
    async def conversation(connect: Connect) -> None:
        reader, writer = await connect()
        writer.write(REQUEST * 2 + b"\x16\x03\x01 no http\r\n\r\n" + REQUEST)
        assert [await answer(reader) for _ in range(2)] == [(200, b"good")] * 2
        assert await reader.read() == b""

    run(conversation)


def test_beyond_the_most_connections_the_longest_idle_one_makes_room() -> None:
    async def conversation(connect: Connect) -> None:
        first, first_writer = await connect()
        first_writer.write(REQUEST)
        assert await answer(first) == (200, b"good")
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
    wanted = {
        "header_timeout_s": 3.0,
        "keep_alive_timeout_s": 5.0,
        "write_timeout_s": 4.0,
        "max_header_bytes": 2000,
        "max_headers": 20,
    }
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
