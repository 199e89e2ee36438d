"""What decoding takes is known from the header, bounded for each image, and for all in work together."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from bundles import linear_bundle
from loaded import open_service, send_image
from PIL import Image

from serving.decode_memory import DecodeMemory
from serving.problem import Problem

BENCH = Path(__file__).resolve().parents[2] / "bench/serving"


def bare_png(width: int, height: int, *, depth: int = 8, color: int = 0) -> bytes:
    """Return a PNG that says how large it is, and holds a pixel."""
    data = b""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + data


def test_a_few_bytes_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path, np.ones((4, 4, 1, 2), np.float32), [0, 0])
    with open_service(bundle) as service:
        tall = send_image(service, bare_png(1, 49_999_999))
        assert (tall.status_code, "a side of at most 32,768 is read" in tall.text) == (413, True)
        large = send_image(service, bare_png(7000, 7000, depth=16, color=6))
        assert large.status_code == 413
        assert "MB to decode; at most 469 MB are there for it" in large.text
    with open_service(bundle, max_decode_bytes=8 << 20, max_side=900) as service:
        file = io.BytesIO()
        Image.new("L", (899, 899)).save(file, "PNG")
        assert send_image(service, file.getvalue()).status_code == 200
        assert send_image(service, bare_png(901, 1)).status_code == 413


def test_images_wait_for_memory_in_their_order_and_too_many_are_refused() -> None:
    async def play() -> list[str]:
        memory, done = DecodeMemory(100, most_waiting=2), []

        async def decode(name: str, count: int) -> None:
            async with memory.reserved(count):
                await asyncio.sleep(0.01)
                done.append(name)

        names = {"first": 60, "large": 90, "small": 10}
        tasks = [asyncio.create_task(decode(name, count)) for name, count in names.items()]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await decode("late", 1)
        assert refused.value.status == 503
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert "large" not in done
        await decode("after", 100)  # all was given back
        return done

    assert asyncio.run(play()) == ["first", "small", "after"]


def test_a_deadline_that_falls_on_the_moment_when_memory_is_given_back_is_a_deadline() -> None:
    async def play() -> bool:
        memory = DecodeMemory(100, most_waiting=2)

        async def wait() -> None:
            async with memory.reserved(100):
                raise AssertionError("it was cancelled before")

        async with memory.reserved(100):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
        # all was given back, before the cancelled one had a turn
        (ended,) = await asyncio.gather(waiting, return_exceptions=True)
        async with memory.reserved(100):
            return isinstance(ended, asyncio.CancelledError)  # and all is there again

    assert asyncio.run(play())


@pytest.mark.slow
@pytest.mark.long
def test_no_kind_of_file_takes_more_than_is_reserved_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    from decode_memory import KINDS, found

    rows = list(found(list(KINDS), 4_000_000, tmp_path))
    assert len(rows) == 2 * len(KINDS)
    assert [row for row in rows if int(str(row["took"])) > int(str(row["reserved"]))] == []
