"""What a server on the open internet is sent sooner or later, each with the answers that are right for it.

`cases(count, seed=…)` draws a bounded mix; the heavy kinds come a fixed few times.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from hostile_images import BAD, GOOD, IMAGES, LARGE, LARGE_IMAGES, REFUSED, TYPE, cut, jpeg, jpeg_of, png, png_of
from workload import BOUNDARY, multipart, post

WAYS = ("multipart", "raw", "json")  # how an image travels


@dataclass(frozen=True)
class Case:
    """One request, whole, and what may come back; `gone_after` bytes the client hangs up."""

    kind: str
    request: bytes
    right: frozenset[str]
    gone_after: int | None = None


Maker = Callable[[random.Random], Case]


def cases(count: int, *, quick: bool = False, seed: int = 0) -> Iterator[Case]:
    """Draw `count` cases, every kind about as often, the heavy ones a few times, in mixed order; each made when due.

    Args:
        quick: every heavy kind once.
    """
    chance = random.Random(seed)
    kinds: list[Maker] = [_image(*image) for image in IMAGES]
    kinds += [*_REQUESTS, _bad_json, _batch_with_a_bad_one, _batch_too_long]
    order = [make for make, times in _HEAVY for _ in range(1 if quick else times)]
    order += [kinds[number % len(kinds)] for number in range(count - len(order))]
    chance.shuffle(order)
    for make in order[:count]:
        yield make(chance)


def _image(name: str, file: Callable[[random.Random], bytes], right: set[str]) -> Maker:
    """Send a file in one of the ways."""

    def make(chance: random.Random) -> Case:
        data, way = file(chance), chance.choice(WAYS)
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
    good = multipart(jpeg())
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
            _form(multipart(jpeg(), field="picture"), "multipart without the field image", BAD),
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
        return _form(multipart(jpeg(), fields={name: value}), "bad option", {"422"})
    return Case("bad option", post(f"/predict?{option}", multipart(jpeg())), frozenset({"422"}))


def _wrong_content_type(chance: random.Random) -> Case:
    kind = chance.choice(["text/plain", "application/xml", "application/x-www-form-urlencoded", "video/mp4", "", "a/b"])
    return Case("wrong content type", post("/predict", multipart(jpeg()), content_type=kind), frozenset({"400", "415"}))


def _packed(chance: random.Random) -> Case:
    good = gzip.compress(multipart(jpeg()))
    kind, coding, body, right = chance.choice(
        [
            ("packed as gzip", "gzip", good, GOOD),
            ("packed as deflate", "deflate", zlib.compress(multipart(jpeg())), GOOD),
            ("packed, with zeros inside", "gzip", gzip.compress(multipart(bytes(2_000_000))), TYPE),
            ("gzip bomb", "gzip", _bomb(), LARGE),
            ("gzip of gzip", "gzip", gzip.compress(_bomb()), BAD),
            ("packed, cut", "gzip", good[: chance.randint(0, len(good) - 1)], BAD),
            ("packed, not packed", "gzip", multipart(jpeg()), BAD),
            ("packed, damaged", "gzip", good[:-8] + chance.randbytes(8), BAD),
            ("packed, and more", "gzip", good + gzip.compress(b"") * chance.randint(1, 10_000), BAD),
            ("packed twice", "gzip, gzip", gzip.compress(good), TYPE),
            ("packed otherwise", chance.choice(["br", "zstd", "compress", "x" * 1000]), good, TYPE),
        ]
    )
    lines = [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Encoding: {coding}"]
    return Case(kind, _head(*lines, f"Content-Length: {len(body)}") + body, frozenset(right))


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(200_000_000))


def _upgrade(chance: random.Random) -> Case:
    body = multipart(jpeg())
    offer = chance.choice(["h2c", "websocket", "TLS/1.0", "h2c, websocket"])
    lines = [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {len(body)}"]
    request = (
        _head(*lines, "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", "HTTP2-Settings: AAMAAABk") + body
    )
    return Case("offer to upgrade", request, frozenset(GOOD))


def _short_length(chance: random.Random) -> Case:
    body = multipart(jpeg())
    told = chance.randint(1, len(body) - 100)
    head = _head(f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {told}")
    return Case("Content-Length too short", head + body, frozenset(BAD))


def _bad_http(chance: random.Random) -> Case:
    form = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    body = multipart(jpeg())
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
    body = multipart(jpeg())
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
    body = multipart(jpeg())
    value = chance.choice(["x" * 4000, "<script>", "\xe9\xff", "a b c", '"},{"level":"x'])
    lines = [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {len(body)}"]
    return Case("strange X-Request-Id", _head(*lines, f"X-Request-Id: {value}") + body, frozenset(GOOD))


def _half_sent_and_gone(chance: random.Random) -> Case:
    request = post("/predict", multipart(jpeg()))
    return Case("half sent, then gone", request, frozenset({"gone"}), gone_after=chance.randint(1, len(request) - 1))


def _gone_before_the_answer(chance: random.Random) -> Case:
    request = post("/predict?report=true", multipart(jpeg()))
    return Case("report asked for, then gone", request, frozenset({"gone"}), gone_after=len(request))


_REQUESTS: list[Maker] = [
    _bad_multipart,
    _text_in_image_field,
    _bad_option,
    _wrong_content_type,
    _packed,
    _upgrade,
    _short_length,
    _bad_http,
    _long_header,
    _wrong_method,
    _no_such_path,
    _strange_request_id,
    _half_sent_and_gone,
]


def _bad_json(chance: random.Random) -> Case:
    good = base64.b64encode(jpeg()).decode()
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
    images = [jpeg(), cut(jpeg)(chance), b"text", png_of(10_000, 10_000), png()]
    return Case("batch with bad images", post("/predict/batch", _several(images)), frozenset(GOOD))


def _batch_too_long(chance: random.Random) -> Case:
    return Case("batch of 33", post("/predict/batch", _several([png_of(8, 8)] * 33)), frozenset(LARGE))


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
    return Case("JPEG of 100 megapixels", post("/predict", multipart(jpeg_of(10_000, 10_000))), frozenset(LARGE))


def _largest_allowed(chance: random.Random) -> Case:
    data = png_of(7_000, 7_000, 8, 2)
    return Case("PNG of 49 megapixels", post("/predict", multipart(data)), frozenset({"200", "413", "503", "504"}))


_HEAVY: list[tuple[Maker, int]] = [
    (_large_body, 10),
    (_large_chunked_body, 10),
    (_whole_jpeg_bomb, 20),
    (_largest_allowed, 10),
    (_gone_before_the_answer, 20),
    *((_image(*image), 10) for image in LARGE_IMAGES),
]


def sent_slowly() -> Iterator[tuple[str, bytes]]:
    """Yield for ever what slow clients begin with and then go on with byte by byte: kind, and the whole request."""
    while True:
        yield "headers", _head(f"X-Slow: {'a' * 20_000}", method="GET", path="/model")
        yield "body", post("/predict", multipart(jpeg()))
        yield "nothing", b""
