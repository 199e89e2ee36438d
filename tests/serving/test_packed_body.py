"""Bodies that were packed on their way: gzip and deflate, within the bounds on what comes out of them."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import json
import textwrap
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import image_bytes, linear_bundle
from loaded import open_service, send, talk

from serving.content_coding import PIECE, Unpacker
from serving.service_state import ServiceState

IMAGE = image_bytes(np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8))
BOUND = 100_000
BOMB = gzip.compress(bytes(50_000_000))  # 49 kB
BROKEN = bytearray(gzip.compress(IMAGE))
BROKEN[-8] ^= 1  # its checksum
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceState]:
    bundle = linear_bundle(tmp_path_factory.mktemp("bundle"), np.ones((8, 8, 3, 2), np.float32), (0, 1))
    with open_service(bundle, max_body_bytes=BOUND) as opened:
        yield opened


def upload(service: ServiceState, body: Any, coding: str, kind: str = "image/png") -> httpx.Response:
    return send(service, "POST", "/predict", content=body, headers={"Content-Type": kind, "Content-Encoding": coding})


async def by_the_byte(body: bytes) -> AsyncIterator[bytes]:
    for place in range(len(body)):
        yield body[place : place + 1]


def test_a_packed_body_is_the_same_image(service: ServiceState) -> None:
    plain = send(service, "POST", "/predict", content=IMAGE, headers={"Content-Type": "image/png"}).json()
    for coding, body in (
        ("gzip", gzip.compress(IMAGE)),
        ("GZIP", gzip.compress(IMAGE)),
        ("x-gzip", gzip.compress(IMAGE)),
        ("deflate", zlib.compress(IMAGE)),
        ("identity", IMAGE),
        ("", IMAGE),
    ):
        assert upload(service, body, coding).json() == plain, coding
    assert upload(service, by_the_byte(gzip.compress(IMAGE)), "gzip").json() == plain
    form = httpx.Request("POST", "http://x", files={"image": IMAGE}, data={"top_k": "1"})
    answer = upload(service, gzip.compress(form.read()), "gzip", form.headers["content-type"])
    assert list(answer.json()["probabilities"]) == [plain["label"]]
    text = json.dumps({"image": base64.b64encode(IMAGE).decode()}).encode()
    assert upload(service, gzip.compress(text), "gzip", "application/json").json() == plain


@pytest.mark.parametrize(
    ("coding", "body", "status", "detail"),
    [
        ("gzip", BOMB, 413, "more than the 100,000 bytes"),
        ("gzip", gzip.compress(BOMB), 415, "the image: "),  # unpacked once, it is no image
        ("gzip", gzip.compress(bytes(BOUND + 1)), 413, "more than the 100,000 bytes"),
        ("gzip", gzip.compress(IMAGE)[:-9], 400, "it breaks off"),
        ("gzip", b"", 400, "it breaks off"),
        ("gzip", bytes(BROKEN), 400, "incorrect data check"),
        ("gzip", IMAGE, 400, "cannot be unpacked as gzip"),
        ("gzip", gzip.compress(IMAGE) * 2, 400, "it goes on after its end"),
        ("deflate", RAW.compress(IMAGE) + RAW.flush(), 400, "cannot be unpacked as deflate"),
        ("br", IMAGE, 415, "is packed as 'br'; one of gzip, deflate is unpacked"),
        ("zstd", IMAGE, 415, "packed as 'zstd'"),
        ("gzip, gzip", gzip.compress(gzip.compress(IMAGE)), 415, "packed as 'gzip, gzip'"),
        ("gzip,identity,br", IMAGE, 415, "once"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(
    service: ServiceState, coding: str, body: bytes, status: int, detail: str
) -> None:
    answer = upload(service, body, coding)
    assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), answer.text
    if "packed as '" in detail:
        assert answer.headers["accept-encoding"] == "gzip, deflate"


def test_a_bomb_is_unpacked_as_far_as_the_bound_and_not_at_once() -> None:
    sizes = []
    for piece in Unpacker("gzip").pieces(BOMB):
        sizes.append(len(piece))
        if sum(sizes) > 1_000_000:
            break
    assert max(sizes) <= PIECE
    assert sum(sizes) <= 1_000_000 + PIECE


def test_a_body_that_is_refused_leaves_the_memory_at_once(tmp_path: Path) -> None:
    with open_service(linear_bundle(tmp_path, np.ones((8, 8, 3, 2), np.float32), (0, 1))) as large:
        upload(large, BOMB, "gzip")
        gc.disable()  # what only a search for cycles would free counts as kept
        tracemalloc.start()
        try:
            assert [upload(large, BOMB, "gzip").status_code for _ in range(3)] == [413] * 3
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert kept < 5_000_000


def test_all_unpacked_bodies_together_have_a_bound(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path, np.ones((8, 8, 3, 2), np.float32), (0, 1))
    with open_service(bundle, max_body_bytes=BOUND, max_held_bytes=BOUND // 2) as full:
        answer = upload(full, gzip.compress(bytes(BOUND // 2 + 1)), "gzip")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("width", [64, 76])
def test_base64_may_stand_in_lines(service: ServiceState, width: int) -> None:
    for newline in ("\n", "\r\n", "\r\n  "):
        text = newline.join(textwrap.wrap(base64.b64encode(IMAGE).decode(), width)) + newline
        assert send(service, "POST", "/predict", json={"image": text}).status_code == 200
    answer = send(service, "POST", "/predict", json={"image": "YWJj\x0b"})
    assert (answer.status_code, "no base64" in answer.json()["detail"]) == (422, True)
    answer = send(
        service, "POST", "/predict", content=b'{"image": "\\udcff"}', headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, "no base64" in answer.json()["detail"]) == (422, True)


def test_the_time_to_unpack_is_not_the_client_s(tmp_path: Path) -> None:
    """Beside a busy event loop, a bomb that has arrived long ago is told for what it is."""
    bundle = linear_bundle(tmp_path, np.ones((8, 8, 3, 2), np.float32), (0, 1))

    async def beside_others(client: httpx.AsyncClient) -> httpx.Response:
        async def busy() -> None:
            while True:
                time.sleep(0.02)
                await asyncio.sleep(0)

        others = asyncio.create_task(busy())
        try:
            headers = {"Content-Type": "image/png", "Content-Encoding": "gzip"}
            return await client.post("/predict", content=BOMB, headers=headers)
        finally:
            others.cancel()

    with open_service(bundle, max_body_bytes=20 * PIECE, body_timeout_s=0.2) as opened:
        answer = talk(opened, beside_others)
    assert answer.status_code == 413, answer.text
