"""Callers that bend HTTP: they read nothing, hold idle connections, offer HTTP/2, or are pages of other sites."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import hammer
from fault_suite import GOOD, GOOD_PER_S, Suite, good_traffic, still_well
from hammer import Load
from server_process import Server, hardener_serve
from workload import multipart, post, upload

WRITE_TIMEOUT_S = 3
CONNECTIONS = 200
ASK = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SITES: dict[str, tuple[str, str]] = {  # headers of a browser -> the status that is right
    "a program": ("", "200"),
    "the service's own page": ("Origin: http://127.0.0.1:PORT\r\nSec-Fetch-Site: same-origin\r\n", "200"),
    "a page of another site": ("Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n", "403"),
    "the same without Sec-Fetch": ("Origin: http://evil.example\r\n", "403"),
    "a page of another port": ("Origin: http://127.0.0.1:1\r\nSec-Fetch-Site: same-site\r\n", "403"),
    "a page without an origin": ("Origin: null\r\n", "403"),
    "an image tag": ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", "403"),
    "a name that was bent here": ("Host: evil.example:PORT\r\n", "421"),
}


def callers(suite: Suite) -> None:
    """Try them all on one server, good traffic beside those that hold on."""
    environment = {"HARDENER_WRITE_TIMEOUT_S": str(WRITE_TIMEOUT_S), "HARDENER_MAX_CONNECTIONS": str(CONNECTIONS)}
    with hardener_serve(suite.bundle("null"), environment=environment) as server:
        alone = hammer.run(Load(server.port, GOOD, connections=32, seconds=5, rate=GOOD_PER_S))
        good = hammer.start(Load(server.port, GOOD, connections=64, seconds=3600, rate=GOOD_PER_S))
        try:
            ended = asyncio.run(_read_nothing(server.port, int(suite.some(100, 20))))
            served = good.finish()
        finally:
            good.stop()
        suite.rule(f"who reads nothing is cut off within {4 * WRITE_TIMEOUT_S} s", dict(ended), set(ended) == {"ended"})
        good_traffic(suite, served, alone)
        _idle(suite, server)
        _old_clients(suite, server)
        _upgrades(suite, server)
        for kind, (headers, right) in SITES.items():
            status = _status(server.port, headers.replace("PORT", str(server.port)))
            suite.rule(f"{kind}: {right}", status, status == right)
        still_well(suite, server)


async def _read_nothing(port: int, number: int) -> Counter[str]:
    """Ask again and again on connections that are never read."""

    async def one() -> str:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            try:
                async with asyncio.timeout(4 * WRITE_TIMEOUT_S):
                    while True:
                        await loop.sock_sendall(client, ASK * 2)
                        await asyncio.sleep(0.05)
            except OSError:
                return "ended"
            except TimeoutError:
                return "held"

    return Counter(await asyncio.gather(*(one() for _ in range(number))))


def _idle(suite: Suite, server: Server) -> None:
    """Hold as many connections as there may be, each after a request; a new client finds room."""
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(4096)
        time.sleep(0.2)
        found = hammer.run(Load(server.port, GOOD, connections=8, seconds=20, count=50)).statuses()
    suite.rule(f"{CONNECTIONS} idle connections keep nobody out", found, found == {"200": 50})


def _old_clients(suite: Suite, server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        said = []
        for _ in range(3):
            client.sendall(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            said.append(client.recv(4096))
    kept = sum(b" 200 " in answer and b"connection: keep-alive" in answer for answer in said)
    suite.rule("HTTP/1.0 keeps its connection where it asks to", f"{kept} of 3", kept == 3)


def _upgrades(suite: Suite, server: Server) -> None:
    if shutil.which("curl") is None:
        suite.note("left out: curl is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.jpg").write_bytes(upload())
        words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--http2", "-F", "image=@a.jpg"]
        done = subprocess.run([*words, f"{server.url}/predict"], cwd=folder, capture_output=True, text=True)
    suite.rule("curl --http2 is answered", done.stdout, done.stdout == "200")


def _status(port: int, headers: str) -> str:
    """Send an image with some headers more."""
    request = post("/predict", multipart(upload()))
    if headers.startswith("Host:"):
        request = request.replace(b"Host: 127.0.0.1\r\n", headers.encode(), 1)
    else:
        request = request.replace(b"\r\n", f"\r\n{headers}".encode(), 1)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        return client.recv(4096)[9:12].decode(errors="replace")
