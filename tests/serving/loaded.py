"""Talk to a loaded bundle as a client would, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray

from serving.app import create_app
from serving.service_state import ServiceState
from serving.settings import BundleSource, Settings
from serving.timed_model import Logits, ModelAccess, Pixels

T = TypeVar("T")


@contextmanager
def open_service(*bundles: Path | BundleSource, **limits: Any) -> Iterator[ServiceState]:
    """Load bundles on the CPU, and end their threads afterwards."""
    sources = tuple(bundle if isinstance(bundle, BundleSource) else BundleSource(bundle) for bundle in bundles)
    service = ServiceState(Settings(bundles=sources, device="cpu", **limits))
    try:
        yield service
    finally:
        service.close()


def talk(service: ServiceState, conversation: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """Run a conversation with the service's app."""

    async def run() -> T:
        transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://hardener", timeout=30) as client:
            return await conversation(client)

    return asyncio.run(run())


def send(service: ServiceState, method: str, path: str, **request: Any) -> httpx.Response:
    """Send one request."""
    return talk(service, lambda client: client.request(method, path, **request))


def send_image(service: ServiceState, image: bytes, *, name: str = "image.png", **fields: str) -> httpx.Response:
    """Upload one image."""
    return send(service, "POST", "/predict", files={"image": (name, image)}, data=fields)


def answering(logits_of: Callable[[Pixels], Logits], *, chunk: int = 2, window: int = 2) -> ModelAccess:
    """Access to a model that is a function of (n, H, W, C); nothing leaves the event loop's thread."""

    async def submit(images: Pixels) -> Logits:
        assert 1 <= len(images) <= chunk
        return logits_of(images)

    async def in_thread(work: Callable[[], T], /) -> T:
        return work()

    return ModelAccess(submit, in_thread, chunk=chunk, window=window)


def linear_logits(weights: NDArray[np.float32], bias: tuple[float, ...]) -> Callable[[Pixels], Logits]:
    """The model of a linear bundle."""

    def logits_of(images: Pixels) -> Logits:
        flat = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
        logits: Logits = (flat @ weights.reshape(-1, weights.shape[-1]) + bias).astype(np.float32)
        return logits

    return logits_of
