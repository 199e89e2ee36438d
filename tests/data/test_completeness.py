"""An image whose file ends early is refused, and one that only looks like it is read."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardener.data.decode import decode_image
from hardener.errors import BadImage

MODES = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA"), "JPEG": ("L", "RGB", "CMYK")}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 2},
    "fine": {"quality": 95, "subsampling": 0},
}


def picture(kind: str, mode: str) -> Image.Image:
    """Noise, or a plain colour: those that Pillow puts where a file has none."""
    if kind == "noise":
        levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        return Image.fromarray(levels).resize((250, 203)).convert(mode)
    return Image.new("RGB", (250, 203), kind).convert(mode)


def written(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(data: bytes, side: int) -> None:
    decode_image(data, height=side, width=side, channels=3)


@pytest.mark.parametrize("side", [24, 200], ids=["drafted", "whole"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES["JPEG"])
def test_a_jpeg_that_was_cut_and_ended_is_refused(mode: str, way: str, side: int) -> None:
    for kind in ("noise", "black", "white", "#808080", "#7f7f7f"):
        decoded(written(picture(kind, mode), "JPEG", **WAYS[way]), side)
    whole = written(picture("noise", mode), "JPEG", **WAYS[way])
    for share in (0.7, 0.9, 0.97):
        with pytest.raises(BadImage, match="truncated"):
            decoded(whole[: int(share * len(whole))] + b"\xff\xd9", side)


@pytest.mark.parametrize("mode", MODES["PNG"])
def test_a_png_with_fewer_rows_than_it_says_is_refused(mode: str) -> None:
    for kind in ("noise", "black", "white"):
        decoded(written(picture(kind, mode), "PNG"), 24)
        for rows in (10, 202):
            short = written(picture(kind, mode).crop((0, 0, 250, rows)), "PNG")
            header = short[12:20] + struct.pack(">I", 203) + short[24:29]
            with pytest.raises(BadImage, match=r"truncated: its pixels end before its last row"):
                decoded(short[:12] + header + struct.pack(">I", zlib.crc32(header)) + short[33:], 24)


def interlaced(rows: int) -> bytes:
    """Return a gray PNG of 12 x 12 black pixels in seven passes, of which some rows are there."""
    passes = [(2, 2), (1, 2), (3, 1), (3, 3), (6, 3), (6, 6), (12, 6)]
    lines = b"".join((b"\0" * (1 + width)) for width, height in passes for _ in range(height))
    data = b""
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 12, 12, 8, 0, 0, 0, 1)),
        (b"IDAT", zlib.compress(lines[: len(lines) - 13 * (6 - rows)])),
        (b"IEND", b""),
    ):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + data


def test_an_interlaced_png_counts_all_its_passes() -> None:
    decoded(interlaced(6), 12)
    with pytest.raises(BadImage, match="truncated"):
        decoded(interlaced(4), 12)


@pytest.mark.parametrize("form", ["WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_the_decoders_of_other_formats_refuse_it_themselves(form: str) -> None:
    whole = written(picture("noise", "RGB"), form)
    with pytest.raises(BadImage):
        decoded(whole[: len(whole) // 2], 24)
