"""Talk to a loaded bundle as a client would, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from serving.app import create_app
from serving.room import Room
from serving.settings import Settings, Source

T = TypeVar("T")


@contextmanager
def open_room(*bundles: Path | Source, **limits: Any) -> Iterator[Room]:
    """Load bundles on the CPU, and end their threads afterwards."""
    sources = tuple(bundle if isinstance(bundle, Source) else Source(bundle) for bundle in bundles)
    room = Room(Settings(bundles=sources, device="cpu", **limits))
    try:
        yield room
    finally:
        room.close()


def talk(room: Room, conversation: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """Run a conversation with the room's app."""

    async def run() -> T:
        transport = httpx.ASGITransport(create_app(room), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://hardener", timeout=30) as client:
            return await conversation(client)

    return asyncio.run(run())


def send(room: Room, method: str, path: str, **request: Any) -> httpx.Response:
    """Send one request."""
    return talk(room, lambda client: client.request(method, path, **request))


def send_image(room: Room, image: bytes, *, name: str = "image.png", **fields: str) -> httpx.Response:
    """Upload one image."""
    return send(room, "POST", "/predict", files={"image": (name, image)}, data=fields)
