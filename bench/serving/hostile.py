"""What a server on the open internet is sent sooner or later, each with the answers that are right for it.

`cases(count, ways, seed)` draws a bounded mix; the heavy kinds come a fixed few times.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from workload import BOUNDARY, encoded, multipart, picture, post

Way = str  # multipart, raw, json: how an image travels
BAD, LARGE, TYPE, BROKEN, GOOD = {"400"}, {"413"}, {"415"}, {"415", "422"}, {"200"}
REFUSED = {"400", "closed"}  # no HTTP that a server must understand: it may also just hang up


@dataclass(frozen=True)
class Case:
    """One request, whole, and what may come back; `gone_after` bytes the client hangs up."""

    kind: str
    request: bytes
    right: frozenset[str]
    gone_after: int | None = None


Maker = Callable[[random.Random], Case]


def cases(count: int, ways: list[Way], *, batch: bool, quick: bool = False, seed: int = 0) -> Iterator[Case]:
    """Draw `count` cases, every kind about as often, the heavy ones a few times, in mixed order; each made when due.

    Args:
        ways: those that the server takes.
        batch: whether it has /predict/batch.
        quick: every heavy kind once.
    """
    chance = random.Random(seed)
    kinds: list[Maker] = [_image(*image, ways) for image in _IMAGES]
    kinds += _REQUESTS
    kinds += [_bad_json] if "json" in ways else []
    kinds += [_batch_with_a_bad_one, _batch_too_long] if batch else []
    order = [make for make, times in _HEAVY for _ in range(1 if quick else times)]
    order += [kinds[number % len(kinds)] for number in range(count - len(order))]
    chance.shuffle(order)
    for make in order[:count]:
        yield make(chance)


# images: bytes of a file, valid or not


@cache
def _jpeg() -> bytes:
    return encoded(picture(7), quality=80)


@cache
def _png() -> bytes:
    return encoded(picture(7, 96), "PNG")


@cache
def _webp() -> bytes:
    return encoded(picture(7), "WEBP", quality=60)


def _cut(whole: Callable[[], bytes]) -> Callable[[random.Random], bytes]:
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
def _png_of(width: int, height: int, bits: int = 1, color: int = 0) -> bytes:
    """Write a PNG of one colour: every pixel is there, and the file is tiny."""
    channels = {0: 1, 2: 3}[color]
    row = b"\0" + bytes((width * bits * channels + 7) // 8)
    packer, packed = zlib.compressobj(9), []
    for _ in range(height):
        packed.append(packer.compress(row))
    packed.append(packer.flush())
    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", b"".join(packed)) + _chunk(b"IEND", b"")


@cache
def _png_plus(kind: bytes, payload_mb: int) -> bytes:
    """Put a chunk that inflates to some megabytes into a small PNG."""
    packed = zlib.compress(bytes(payload_mb * 1024 * 1024), 9)
    data = _png()
    return data[:33] + _chunk(kind, b"a\0\0" + packed) + data[33:]


@cache
def _jpeg_of(width: int, height: int) -> bytes:
    """Write a gray JPEG of one colour, whole: it would decode."""
    return encoded(np.zeros((height, width), np.uint8), quality=30)


@cache
def _jpeg_that_says(width: int, height: int) -> bytes:
    """Change what a small JPEG's header says of its size."""
    data = bytearray(_jpeg())
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
    return _jpeg()[:2] + segment * count + _jpeg()[2:]


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
_IMAGES: list[tuple[str, Callable[[random.Random], bytes], set[str]]] = [
    ("truncated JPEG", _cut(_jpeg), BROKEN),
    ("truncated PNG", _cut(_png), BROKEN),
    ("truncated WebP", _cut(_webp), BROKEN),
    ("JPEG with flipped bits", _flipped(_jpeg), GOOD | LARGE | BROKEN),
    ("PNG with flipped bits", _flipped(_png), GOOD | LARGE | BROKEN),
    ("PNG of 100 megapixels", _fixed(lambda: _png_of(10_000, 10_000)), LARGE),
    ("PNG of 400 megapixels", _fixed(lambda: _png_of(20_000, 20_000)), LARGE),
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
    ("GIF's first bytes, then a PNG", _fixed(lambda: b"GIF89a" + _png()), TYPE),
    ("PDF's first bytes, then a JPEG", _fixed(lambda: b"%PDF-1.7\n" + _jpeg()), TYPE),
    ("JPEG and ZIP in one", _fixed(lambda: _jpeg() + _zip()), GOOD),
    ("PNG and HTML in one", _fixed(lambda: _png() + b"<html><script>alert(1)</script></html>"), GOOD),
    ("JPEG with PHP as comment", _fixed(lambda: _with_segments(0xFE, b"<?php system($_GET[0]); ?>", 1)), GOOD),
    ("JPEG with 3 MB of EXIF", _fixed(lambda: _with_segments(0xE1, b"Exif\0\0" + bytes(65_000), 48)), GOOD),
    ("EXIF that lies", _strange_exif, GOOD),
    ("16-bit colour PNG", _fixed(lambda: _sixteen_bit(2)), GOOD),
    ("16-bit gray PNG", _fixed(lambda: _sixteen_bit(0)), GOOD),
    ("CMYK JPEG", _fixed(lambda: _in_mode("CMYK", "JPEG")), GOOD),
    ("gray, palette, 1-bit, alpha", lambda chance: _in_mode(chance.choice(["L", "P", "1", "LA", "RGBA"]), "PNG"), GOOD),
    ("animated GIF", _fixed(lambda: _animated("GIF")), TYPE),
    ("animated WebP", _fixed(lambda: _animated("WEBP")), GOOD),
    ("animated PNG", _fixed(lambda: _animated("PNG")), GOOD),
    ("one pixel", _fixed(lambda: _png_of(1, 1)), GOOD),
    ("60000 x 1 pixels", _fixed(lambda: _png_of(60_000, 1)), GOOD),
    ("zero bytes", _fixed(bytes), BAD | BROKEN),
]


def _image(name: str, file: Callable[[random.Random], bytes], right: set[str], ways: list[Way]) -> Maker:
    """Send a file in one of the ways."""

    def make(chance: random.Random) -> Case:
        data, way = file(chance), chance.choice(ways)
        if way == "multipart":
            request = post("/predict", multipart(data))
        elif way == "raw":
            kind = chance.choice(["image/jpeg", "image/png", "application/octet-stream"])
            request = post("/predict", data, content_type=kind)
        else:
            body = json.dumps({"image": base64.b64encode(data).decode()}).encode()
            request = post("/predict", body, content_type="application/json")
        return Case(name, request, frozenset(right))

    return make


# requests: the image is fine, what carries it is not


def _head(*lines: str, method: str = "POST", path: str = "/predict") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode("latin-1")


def _form(body: bytes, kind: str, right: set[str], *, boundary: str = f"; boundary={BOUNDARY}") -> Case:
    return Case(kind, post("/predict", body, content_type=f"multipart/form-data{boundary}"), frozenset(right))


def _bad_multipart(chance: random.Random) -> Case:
    good = multipart(_jpeg())
    many = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f{index}"\r\n\r\n1\r\n' for index in range(2000)
    )
    long_name = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{"n" * 100_000}"\r\n\r\n1\r\n'
    return chance.choice(
        [
            _form(good, "multipart without boundary", BAD, boundary=""),
            _form(good, "multipart with another boundary", BAD, boundary="; boundary=other"),
            _form(good, "multipart with a boundary of 5 kB", BAD, boundary=f"; boundary={'b' * 5000}"),
            _form(good[: chance.randint(10, len(good) - 80)], "multipart that breaks off", BAD),
            _form(b"", "multipart without a body", BAD),
            _form(multipart(_jpeg(), field="picture"), "multipart without the field image", BAD),
            _form(good[: -len(BOUNDARY) - 8] + b"\r\n" + good, "multipart with the image twice", BAD | GOOD | {"422"}),
            _form(many.encode() + good, "multipart with 2000 fields", BAD | LARGE),
            _form(long_name.encode() + good, "multipart with a part header of 100 kB", BAD | LARGE | {"422"}),
            _form(chance.randbytes(3000), "multipart of random bytes", BAD),
        ]
    )


def _text_in_image_field(chance: random.Random) -> Case:
    body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"\r\n\r\nhttp://127.0.0.1:1/a\r\n--{BOUNDARY}--\r\n'
    return _form(body.encode(), "text or a URL as the image", TYPE)


def _bad_option(chance: random.Random) -> Case:
    option = chance.choice(
        ["report=maybe", "top_k=0", "top_k=-1", "top_k=many", "top_k=1e9", "reprot=true", "report=true&report=false"]
    )
    if chance.random() < 0.5 and "&" not in option:
        name, _, value = option.partition("=")
        return _form(multipart(_jpeg(), fields={name: value}), "bad option", {"422"})
    return Case("bad option", post(f"/predict?{option}", multipart(_jpeg())), frozenset({"422"}))


def _wrong_content_type(chance: random.Random) -> Case:
    kind = chance.choice(["text/plain", "application/xml", "application/x-www-form-urlencoded", "video/mp4", "", "a/b"])
    return Case(
        "wrong content type", post("/predict", multipart(_jpeg()), content_type=kind), frozenset({"400", "415"})
    )


def _gzipped(chance: random.Random) -> Case:
    body = gzip.compress(multipart(bytes(2_000_000)))
    head = _head(
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        "Content-Encoding: gzip",
        f"Content-Length: {len(body)}",
    )
    return Case("gzip-packed body", head + body, frozenset({"400", "415", "422"}))


def _short_length(chance: random.Random) -> Case:
    body = multipart(_jpeg())
    told = chance.randint(1, len(body) - 100)
    head = _head(f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {told}")
    return Case("Content-Length too short", head + body, frozenset(BAD))


def _bad_http(chance: random.Random) -> Case:
    form = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    body = multipart(_jpeg())
    odd: list[tuple[str, bytes]] = [
        ("Content-Length that is no number", _head(form, "Content-Length: abc") + body),
        ("Content-Length below zero", _head(form, "Content-Length: -5") + body),
        ("two Content-Lengths", _head(form, "Content-Length: 5", "Content-Length: 6") + body),
        ("chunks of no size", _head(form, "Transfer-Encoding: chunked") + b"xyz\r\nabc\r\n"),
        ("garbage in place of HTTP", chance.randbytes(300) + b"\r\n\r\n"),
        ("TLS hello to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500)),
        ("request line without version", b"GET /predict\r\n\r\n"),
        ("no Host", b"GET /model HTTP/1.1\r\n\r\n"),
    ]
    kind, request = chance.choice(odd)
    right = REFUSED | {"405"} if b" HTTP/" not in request else REFUSED  # without a version it may pass for HTTP/1.0
    return Case(kind, request, frozenset(right))


def _long_header(chance: random.Random) -> Case:
    body = multipart(_jpeg())
    lines = [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {len(body)}"]
    request = _head(*lines, f"X-Long: {'a' * 200_000}") + body
    return Case("header of 200 kB", request, frozenset({"400", "431", "closed"}))


def _wrong_method(chance: random.Random) -> Case:
    method = chance.choice(["GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
    return Case("wrong method", _head("Content-Length: 0", method=method), frozenset({"405"}))


def _no_such_path(chance: random.Random) -> Case:
    path = chance.choice(
        [
            "/admin",
            "/.env",
            "/../../etc/passwd",
            "/page.js/../../settings.py",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/predict%00",
            "/wp-login.php",
            f"/{chance.getrandbits(64):x}",
        ]
    )
    return Case("no such path", _head("Content-Length: 0", method="GET", path=path), frozenset({"404"}))


def _strange_request_id(chance: random.Random) -> Case:
    body = multipart(_jpeg())
    value = chance.choice(["x" * 4000, "<script>", "\xe9\xff", "a b c", '"},{"level":"x'])
    lines = [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {len(body)}"]
    return Case("strange X-Request-Id", _head(*lines, f"X-Request-Id: {value}") + body, frozenset(GOOD))


def _half_sent_and_gone(chance: random.Random) -> Case:
    request = post("/predict", multipart(_jpeg()))
    return Case("half sent, then gone", request, frozenset({"gone"}), gone_after=chance.randint(1, len(request) - 1))


def _gone_before_the_answer(chance: random.Random) -> Case:
    request = post("/predict?report=true", multipart(_jpeg()))
    return Case("report asked for, then gone", request, frozenset({"gone"}), gone_after=len(request))


_REQUESTS: list[Maker] = [
    _bad_multipart,
    _text_in_image_field,
    _bad_option,
    _wrong_content_type,
    _gzipped,
    _short_length,
    _bad_http,
    _long_header,
    _wrong_method,
    _no_such_path,
    _strange_request_id,
    _half_sent_and_gone,
]


def _bad_json(chance: random.Random) -> Case:
    good = base64.b64encode(_jpeg()).decode()
    bodies = [
        b"{",
        b"",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"image": 7}',
        b'{"image": null}',
        b'{"image": ["a"]}',
        b'{"image": "no base64 !!"}',
        b'{"image": "YWJ"}',
        b'{"picture": "YWJj"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        json.dumps({"image": good, "top_k": 1.5}).encode(),
        json.dumps({"image": good, "top_k": "all"}).encode(),
        json.dumps({"image": good, "top_k": 0}).encode(),
        json.dumps({"image": good, "report": "maybe"}).encode(),
        json.dumps({"image": good, "unknown": 1}).encode(),
        f'{{"image": "{good}", "top_k": 1{"0" * 5000}}}'.encode(),
        f'{{"image": "{good}", "top_k": NaN}}'.encode(),
    ]
    body = chance.choice(bodies)
    right = frozenset({"400", "415", "422"})  # 415: no image in it; which of the two others is the service's choice
    return Case("bad JSON or base64", post("/predict", body, content_type="application/json"), right)


def _several(images: list[bytes]) -> bytes:
    parts = []
    for index, data in enumerate(images):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{index}"\r\n\r\n'
        parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _batch_with_a_bad_one(chance: random.Random) -> Case:
    images = [_jpeg(), _cut(_jpeg)(chance), b"text", _png_of(10_000, 10_000), _png()]
    return Case("batch with bad images", post("/predict/batch", _several(images)), frozenset(GOOD))


def _batch_too_long(chance: random.Random) -> Case:
    return Case("batch of 33", post("/predict/batch", _several([_png_of(8, 8)] * 33)), frozenset(LARGE))


# heavy: a fixed few of each


def _large_body(chance: random.Random) -> Case:
    return Case("body of 100 MB", post("/predict", _hundred_megabytes()), frozenset({"413", "closed"}))


def _large_chunked_body(chance: random.Random) -> Case:
    form = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    piece = _hundred_megabytes()[: 1024 * 1024]
    chunk = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    request = _head(form, "Transfer-Encoding: chunked") + chunk * 100 + b"0\r\n\r\n"
    return Case("body of 100 MB in chunks", request, frozenset({"413", "closed"}))


@cache
def _hundred_megabytes() -> bytes:
    return multipart(bytes(100 * 1024 * 1024))


def _whole_jpeg_bomb(chance: random.Random) -> Case:
    return Case("JPEG of 100 megapixels", post("/predict", multipart(_jpeg_of(10_000, 10_000))), frozenset(LARGE))


def _largest_allowed(chance: random.Random) -> Case:
    data = _png_of(7_000, 7_000, 8, 2)
    return Case("PNG of 49 megapixels", post("/predict", multipart(data)), frozenset({"200", "413", "503", "504"}))


_HEAVY: list[tuple[Maker, int]] = [
    (_large_body, 10),
    (_large_chunked_body, 10),
    (_whole_jpeg_bomb, 20),
    (_largest_allowed, 10),
    (_gone_before_the_answer, 20),
]


def sent_slowly() -> Iterator[tuple[str, bytes]]:
    """Yield for ever what slow clients begin with and then go on with byte by byte: kind, and the whole request."""
    while True:
        yield "headers", _head(f"X-Slow: {'a' * 20_000}", method="GET", path="/model")
        yield "body", post("/predict", multipart(_jpeg()))
        yield "nothing", b""
