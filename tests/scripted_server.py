"""A server on loopback that answers what it was told to, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = {"name": "tiny", "fingerprint": "f" * 64}


@dataclass(frozen=True)
class Reply:
    """An answer; with status 0 the connection is closed instead."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


def prediction(label: str = "cat", **more: Any) -> dict[str, Any]:
    """Make an answer to one image: 0.75 for `label`, 0.25 for dog."""
    shares = {label: 0.75, "dog": 0.25}
    return {
        "label": label, "index": 0, "confidence": 0.75, "probabilities": shares, "model": MODEL, "report": None,
    } | more  # fmt: skip


def problem(status: int, title: str, detail: str) -> dict[str, Any]:
    """Make a problem document."""
    return {"type": "about:blank", "title": title, "status": status, "detail": detail}


@contextmanager
def scripted(replies: Sequence[Reply]) -> Iterator[tuple[str, list[Asked]]]:
    """Serve `replies` in order on a free port, the last for ever; gives the URL and the list of what was asked."""
    asked: list[Asked] = []
    left = list(replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            reply = left.pop(0) if len(left) > 1 else left[0]
            if not reply.status:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in (reply.headers | {"Content-Length": str(len(reply.body.encode()))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body.encode())

        do_GET = do_POST

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
