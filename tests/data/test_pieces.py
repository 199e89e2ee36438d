"""A file of a few bytes that would keep a decoder busy for minutes is refused before it is decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hardener.data.completeness import see_that_it_is_whole
from hardener.data.decode import decode_image, open_image
from hardener.errors import BadImage, ImageTooLarge


def written(kind: str, side: int = 48, **options: object) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize((side, side)).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def decoded(data: bytes) -> np.ndarray:
    return decode_image(data, height=48, width=48, channels=3)


def with_scans(data: bytes, count: int) -> bytes:
    """Repeat the last scan until there are so many."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + data[-2:]


@pytest.mark.parametrize("kind", ["baseline", "progressive"])
def test_a_jpeg_that_goes_over_its_pixels_too_often_is_refused(kind: str) -> None:
    data = written("JPEG", progressive=kind == "progressive")
    with pytest.raises(ImageTooLarge, match="goes over its 48 x 48 pixels 101 times"):
        open_image(with_scans(data, 101))
    open_image(with_scans(data, 100))
    with pytest.raises(BadImage, match="made of more than 10,000 pieces"):
        open_image(with_scans(data, 20_000))


def test_the_larger_a_jpeg_the_fewer_scans() -> None:
    file = io.BytesIO()
    Image.new("L", (8000, 8000), 9).save(file, "JPEG", progressive=True)
    open_image(with_scans(file.getvalue(), 31))
    with pytest.raises(ImageTooLarge, match="8000 x 8000 pixels 32 times"):
        open_image(with_scans(file.getvalue(), 32))


@pytest.mark.parametrize(
    ("kind", "piece", "most"),
    [
        ("JPEG", b"\xff\xfe\0\2", 9_900),
        ("JPEG", b"\xff\xfe\0\3\0\xff", 4_900),
        ("JPEG", b"\xff", 9_900),
        ("PNG", chunk(b"abCd"), 9_900),
        ("PNG", chunk(b"IDAT"), 9_900),
        ("PNG", chunk(b"tEXt", b"a\0b"), 9_900),
    ],
)
def test_a_file_of_many_pieces_is_refused_and_one_of_some_is_read(kind: str, piece: bytes, most: int) -> None:
    data = written(kind)
    start = 2 if kind == "JPEG" else 33
    assert np.array_equal(decoded(data[:start] + piece * most + data[start:]), decoded(data))
    with pytest.raises(BadImage, match="made of more than 10,000 pieces; save it again"):
        open_image(data[:start] + piece * 12_000 + data[start:])


def test_what_lies_behind_the_end_does_not_count() -> None:
    for kind, piece in (("JPEG", b"\xff\xda\0\2"), ("PNG", chunk(b"abCd"))):
        data = written(kind)
        assert np.array_equal(decoded(data + piece * 20_000), decoded(data))


def test_a_large_file_may_have_more_pieces() -> None:
    data = written("PNG")
    pieces = chunk(b"abCd", bytes(1100)) * 11_000
    assert np.array_equal(decoded(data[:33] + pieces + data[33:]), decoded(data))


def test_pixels_that_no_row_shows_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = zlib.compress(bytes(2**24))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND")
    image = open_image(data)
    image.load()
    unpacked: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self._own = decompressobj()

        def __getattr__(self, name: str) -> object:
            return getattr(self._own, name)

        def decompress(self, part: bytes, most: int) -> bytes:
            found = self._own.decompress(part, most)
            unpacked.append(len(found))
            return found

    decompressobj = zlib.decompressobj
    monkeypatch.setattr("hardener.data.completeness.zlib.decompressobj", Counting)
    see_that_it_is_whole(image, data)
    assert sum(unpacked) < 2**17
