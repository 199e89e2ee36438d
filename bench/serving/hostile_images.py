"""Image files as a server on the open internet is sent them: valid, broken, and meant to break it."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image
from workload import encoded, picture

BAD, LARGE, TYPE, BROKEN, GOOD = {"400"}, {"413"}, {"415"}, {"415", "422"}, {"200"}
REFUSED = {"400", "closed"}  # no HTTP that a server must understand: it may also just hang up


# images: bytes of a file, valid or not


@cache
def jpeg() -> bytes:
    """Return a good JPEG."""
    return encoded(picture(7), quality=80)


@cache
def png() -> bytes:
    """Return a good PNG."""
    return encoded(picture(7, 96), "PNG")


@cache
def _webp() -> bytes:
    return encoded(picture(7), "WEBP", quality=60)


def cut(whole: Callable[[], bytes]) -> Callable[[random.Random], bytes]:
    """Make a maker of beginnings of a file."""
    return lambda chance: whole()[: chance.randint(1, len(whole()) - 64)]


def _flipped(whole: Callable[[], bytes]) -> Callable[[random.Random], bytes]:
    def make(chance: random.Random) -> bytes:
        data = bytearray(whole())
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return bytes(data)

    return make


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def png_of(width: int, height: int, bits: int = 1, color: int = 0) -> bytes:
    """Write a PNG of one colour: every pixel is there, and the file is tiny."""
    channels = {0: 1, 2: 3}[color]
    row = b"\0" + bytes((width * bits * channels + 7) // 8)
    packer, packed = zlib.compressobj(9), []
    at_once = max(1, 1_000_000 // len(row))
    for start in range(0, height, at_once):
        packed.append(packer.compress(row * min(at_once, height - start)))
    packed.append(packer.flush())
    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", b"".join(packed)) + _chunk(b"IEND", b"")


@cache
def _png_plus(kind: bytes, payload_mb: int) -> bytes:
    """Put a chunk that inflates to some megabytes into a small PNG."""
    packed = zlib.compress(bytes(payload_mb * 1024 * 1024), 9)
    data = png()
    return data[:33] + _chunk(kind, b"a\0\0" + packed) + data[33:]


@cache
def jpeg_of(width: int, height: int) -> bytes:
    """Write a gray JPEG of one colour, whole: it would decode."""
    return encoded(np.zeros((height, width), np.uint8), quality=30)


@cache
def _jpeg_that_says(width: int, height: int) -> bytes:
    """Change what a small JPEG's header says of its size."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@cache
def _bmp_that_says(width: int, height: int) -> bytes:
    data = bytearray(encoded(picture(7, 16), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def _with_segments(marker: int, payload: bytes, count: int) -> bytes:
    """Put segments behind a JPEG's first marker."""
    segment = struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
    return jpeg()[:2] + segment * count + jpeg()[2:]


@cache
def _more_than_it_shows() -> bytes:
    """Return a black PNG of 64 pixels whose data unpack to 1 GB."""
    header, packer = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0), zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data) for kind, data in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    )


@cache
def _scanned_again(times: int) -> bytes:
    """Go over the 49 million pixels of a JPEG once more and again: some 75 bytes each time."""
    file = io.BytesIO()
    Image.new("L", (7000, 7000), 128).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * times + data[-2:]


def _strange_exif(chance: random.Random) -> bytes:
    """EXIF that lies: an orientation of any value, offsets that lead out of it or back to itself."""
    entries = [(0x0112, 3, 1, chance.randrange(65536)), (0x8769, 4, 1, chance.choice([8, 0xFFFFFFFF, 2]))]
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return _with_segments(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + ifd + struct.pack("<I", 8), 1)


@cache
def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evil.sh", "#!/bin/sh\nexit 1\n" * 40)
    return file.getvalue()


def _frames(kind: str, count: int = 6) -> bytes:
    pictures = [Image.fromarray(picture(seed, 64)) for seed in range(count)]
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], duration=40)
    return file.getvalue()


@cache
def _animated(kind: str) -> bytes:
    return _frames(kind)


@cache
def _sixteen_bit(color: int) -> bytes:
    size, channels = 64, {0: 1, 2: 3}[color]
    levels = np.random.default_rng(0).integers(0, 65536, (size, size * channels), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    head = struct.pack(">IIBBBBB", size, size, 16, color, 0, 0, 0)
    parts = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@cache
def _in_mode(mode: str, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(7, 128)).convert(mode).save(file, kind)
    return file.getvalue()


_WRONG_TYPES = (
    b"hello, this is a text and no image",
    b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n" * 20,
    b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    b"PK\x03\x04" + bytes(200),
    b"\x7fELF" + bytes(200),
    b"\0\0\0\x18ftypmp42" + bytes(200),
    b"http://169.254.169.254/latest/meta-data/",
    b"#!/bin/sh\nrm -rf /\n",
    b"P6 2 2 255 " + bytes(12),
    b"II*\0" + bytes(200),
    b"8BPS" + bytes(200),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
)


def _fixed(make: Callable[[], bytes]) -> Callable[[random.Random], bytes]:
    return lambda chance: make()


# name, the file, the right answers
IMAGES: list[tuple[str, Callable[[random.Random], bytes], set[str]]] = [
    ("truncated JPEG", cut(jpeg), BROKEN),
    ("truncated PNG", cut(png), BROKEN),
    ("truncated WebP", cut(_webp), BROKEN),
    ("JPEG with flipped bits", _flipped(jpeg), GOOD | LARGE | BROKEN),
    ("PNG with flipped bits", _flipped(png), GOOD | LARGE | BROKEN),
    ("PNG of 100 megapixels", _fixed(lambda: png_of(10_000, 10_000)), LARGE),
    ("PNG of 400 megapixels", _fixed(lambda: png_of(20_000, 20_000)), LARGE),
    ("JPEG that says 400 megapixels", _fixed(lambda: _jpeg_that_says(20_000, 20_000)), LARGE),
    ("JPEG that says 65535 x 65535", _fixed(lambda: _jpeg_that_says(65_535, 65_535)), LARGE),
    ("BMP that says 400 megapixels", _fixed(lambda: _bmp_that_says(20_000, 20_000)), LARGE),
    ("PNG, text inflates to 100 MB", _fixed(lambda: _png_plus(b"zTXt", 100)), GOOD | {"422"}),
    ("PNG, profile inflates to 100 MB", _fixed(lambda: _png_plus(b"iCCP", 100)), GOOD | {"422"}),
    ("wrong type", lambda chance: chance.choice(_WRONG_TYPES), TYPE),
    ("random bytes", lambda chance: b"\0" + chance.randbytes(chance.randint(1, 20_000)), TYPE),
    ("JPEG's first bytes, then random", lambda chance: b"\xff\xd8\xff\xe0" + chance.randbytes(5_000), BROKEN | LARGE),
    ("PNG's first bytes, then random", lambda chance: b"\x89PNG\r\n\x1a\n" + chance.randbytes(5_000), BROKEN),
    ("HTML as .jpg", _fixed(lambda: b"<html><script>alert(1)</script></html>"), TYPE),
    ("GIF's first bytes, then a PNG", _fixed(lambda: b"GIF89a" + png()), TYPE),
    ("PDF's first bytes, then a JPEG", _fixed(lambda: b"%PDF-1.7\n" + jpeg()), TYPE),
    ("JPEG and ZIP in one", _fixed(lambda: jpeg() + _zip()), GOOD),
    ("PNG and HTML in one", _fixed(lambda: png() + b"<html><script>alert(1)</script></html>"), GOOD),
    ("JPEG with PHP as comment", _fixed(lambda: _with_segments(0xFE, b"<?php system($_GET[0]); ?>", 1)), GOOD),
    ("JPEG with 3 MB of EXIF", _fixed(lambda: _with_segments(0xE1, b"Exif\0\0" + bytes(65_000), 48)), GOOD),
    ("JPEG of 200 scans", _fixed(lambda: _scanned_again(200)), LARGE),
    ("EXIF that lies", _strange_exif, GOOD),
    ("16-bit colour PNG", _fixed(lambda: _sixteen_bit(2)), GOOD),
    ("16-bit gray PNG", _fixed(lambda: _sixteen_bit(0)), GOOD),
    ("CMYK JPEG", _fixed(lambda: _in_mode("CMYK", "JPEG")), GOOD),
    ("gray, palette, 1-bit, alpha", lambda chance: _in_mode(chance.choice(["L", "P", "1", "LA", "RGBA"]), "PNG"), GOOD),
    ("animated GIF", _fixed(lambda: _animated("GIF")), TYPE),
    ("animated WebP", _fixed(lambda: _animated("WEBP")), GOOD),
    ("animated PNG", _fixed(lambda: _animated("PNG")), GOOD),
    ("one pixel", _fixed(lambda: png_of(1, 1)), GOOD),
    ("60000 x 1 pixels", _fixed(lambda: png_of(60_000, 1)), LARGE),
    ("zero bytes", _fixed(bytes), BAD | BROKEN),
]

# the same, for those that take megabytes
LARGE_IMAGES: list[tuple[str, Callable[[random.Random], bytes], set[str]]] = [
    ("JPEG of 100,000 scans", _fixed(lambda: _scanned_again(100_000)), BROKEN),
    ("JPEG of 3 million empty comments", _fixed(lambda: _with_segments(0xFE, b"", 3_000_000)), BROKEN),
    ("JPEG with 12 MB of filling", _fixed(lambda: jpeg()[:2] + b"\xff" * 12_000_000 + jpeg()[2:]), BROKEN),
    (
        "PNG of a million empty chunks",
        _fixed(lambda: png()[:33] + _chunk(b"abCd", b"") * 1_000_000 + png()[33:]),
        BROKEN,
    ),
    ("PNG of 64 pixels, 1 GB of data", _fixed(_more_than_it_shows), GOOD),
]
