"""A request's body -> images and the caller's options; whatever is wrong with them is a `Problem`."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import ClientDisconnect, Request

from hardener.config.bundle import InputSpec
from hardener.config.serving_limits import FIXED
from hardener.data.decode import open_image, to_input_with_size
from hardener.data.decode_cost import decode_bytes
from hardener.errors import BadImage, ImageTooLarge, UnknownFormat

from .content_coding import Unpacker, unpacker_for
from .multipart import BrokenMultipart, parse_multipart
from .options import Options, read_options
from .problem import Problem

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
DEEP_FORMATS = ("TIFF",)
"""Read besides by models that were trained on pixels of more than 8 bits: signed and float ones have no other file."""
MAX_FIELDS = FIXED["form_fields"].value
MAX_FIELD_BYTES = FIXED["field_bytes"].value
MAX_JSON_VALUES = FIXED["json_values"].value
MAX_WIDE_BYTES = 2**20  # of JSON; larger bodies hold images, and nothing but ASCII
SMALL_PIXELS = 160_000  # what has no more is decoded in a millisecond
LARGE_PIXELS = 4_000_000  # what has more takes long, and much memory, to decode
_JSON_MARKS = (b",", b":", b"[", b"{")  # none is a letter of base64
_WIDE = re.compile(rb"[\x80-\xff]|\\u(?!00)")
BREAKS = b" \t\r\n"  # stand in base64 as MIME and the program base64 write it, in lines of 76 or 64
HOW_TO_SEND = (
    "Send multipart/form-data with the file in the field image, as `curl -F image=@cat.jpg` does; "
    "or the file itself as image/* or application/octet-stream; or JSON with base64."
)


@dataclass(frozen=True)
class Upload:
    """What a caller sent: the bytes of the image files, not yet looked at, and the options.

    In a batch, a `Problem` stands for an image whose base64 is none, or that is no text.
    """

    images: list[bytes | Problem]
    options: Options


@dataclass(frozen=True)
class Decoded:
    """An image as the model takes it, (H, W, C) uint8, and the size in pixels of the file, turned the right way up."""

    pixels: NDArray[np.uint8]
    width: int
    height: int


async def read_body(request: Request, *, max_bytes: int, timeout_s: float, hold: Callable[[int], None]) -> bytes:
    """Read a body, unpacked where it says that it is packed, counting its bytes as they come.

    Args:
        max_bytes: of the packed body as of the unpacked one.
        timeout_s: that the client may take to send it; unpacking, and the turns of others meanwhile, do not count.
        hold: hears of every piece's size before the next is read; what it raises ends the reading.

    Raises:
        Problem: 413 too many bytes, 408 they took too long, 415 packed in another way, 400 packed and damaged.
        ClientDisconnect: nobody waits for the answer any more.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_bytes):
        raise _too_large(max_bytes)  # not kept here: it would keep this frame, and the body with it
    unpacker = unpacker_for(", ".join(request.headers.getlist("content-encoding")))
    body = bytearray()  # one block that grows: many of a middling size would stay with the process
    read = 0
    try:
        async with asyncio.timeout(timeout_s) as clock:
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                received = message.get("body", b"")
                read += len(received)
                async for piece in _pieces(received, unpacker, clock):
                    body += piece
                    if max(read, len(body)) > max_bytes:
                        raise _too_large(max_bytes)
                    hold(len(piece))
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        detail = f"the body did not arrive within {timeout_s:g} seconds: {read:,} bytes of it did"
        raise Problem(408, detail, headers={"Connection": "close"}) from None
    if unpacker is not None:
        unpacker.check_end()
    return bytes(body)


async def _pieces(received: bytes, unpacker: Unpacker | None, clock: asyncio.Timeout) -> AsyncIterator[bytes]:
    """Yield what came, unpacked, with the clock at rest: it has arrived."""
    if unpacker is None:
        yield received
        return
    loop, due = asyncio.get_running_loop(), clock.when()
    assert due is not None, "the clock runs while a client is waited for"
    began = loop.time()
    clock.reschedule(None)
    for piece in unpacker.pieces(received):
        yield piece
        await asyncio.sleep(0)  # others have their turn between two pieces
    clock.reschedule(due + loop.time() - began)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, f"the body has more than the {max_bytes:,} bytes that are taken")


def body_kind(content_type: str, *, several: bool) -> Literal["form", "json", "raw"]:
    """Tell from the Content-Type how a body is read; a single image may come as it is.

    Raises:
        Problem: 415 in no way.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return "form"
    if kind == "application/json":
        return "json"
    if not several and (kind.startswith("image/") or kind == "application/octet-stream"):
        return "raw"
    raise Problem(415, f"the body is {_short(content_type) or 'of no stated type'}. {HOW_TO_SEND}")


def parse_upload(
    content_type: str, body: bytes, query: Iterable[tuple[str, str]], *, allowed: Iterable[str], most: int | None = None
) -> Upload:
    """Find the images and the options in a complete body.

    Args:
        query: names and values from the URL.
        allowed: the options that this route takes.
        most: images that a batch may have; None: the body is one image.
    Raises:
        Problem: 400 a body that cannot be read, or no image in it; 413 too many images; 415 a body of another kind,
            or text where an image belongs; 422 an option, or base64, that is wrong.
    """
    kind = body_kind(content_type, several=most is not None)
    if kind == "form":
        images, fields = _read_form(content_type, body, most)
        options = read_options(query, form=fields, allowed=allowed)
    elif kind == "json":
        images, keys = _read_json(body, most)
        options = read_options(query, json=keys, allowed=allowed)
    else:
        images, options = [body], read_options(query, allowed=allowed)
    if most is None and isinstance(images[0], Problem):
        raise images[0]
    if most is not None and len(images) > most:
        raise Problem(413, f"the batch has {len(images)} images; at most {most} are taken. Send several batches.")
    return Upload(images, options)


@dataclass(frozen=True)
class Opened:
    """An image whose header was read, and what decoding it will take.

    Attributes:
        pixels: of the file.
        needs: bytes at once, at most.
    """

    image: Image.Image
    spec: InputSpec
    pixels: int
    needs: int

    def decode(self) -> Decoded:
        """Decode it to the model's input.

        Raises:
            Problem: 422 truncated or damaged.
        """
        spec = self.spec
        with _refused():
            pixels, (width, height) = to_input_with_size(
                self.image, height=spec.height, width=spec.width, channels=spec.channels, rule=spec.pixels
            )
        return Decoded(pixels, width, height)


def open_upload(data: bytes, spec: InputSpec, *, max_pixels: int, max_side: int, max_bytes: int) -> Opened:
    """Read the header of an uploaded image; the file's name and stated type play no part.

    Args:
        max_bytes: that decoding it may take.
    Raises:
        Problem: 415 no image of an allowed format, 413 too many pixels, too long a side, or too much memory to decode
            it, 422 a damaged header.
    """
    formats = FORMATS if spec.pixels.range is None else (*FORMATS, *DEEP_FORMATS)
    with _refused():
        image = open_image(data, max_pixels=max_pixels, formats=formats)
        if max(image.size) > max_side:
            raise ImageTooLarge(f"{image.width} x {image.height} pixels; a side of at most {max_side:,} is read")
        needs = decode_bytes(image, height=spec.height, width=spec.width, channels=spec.channels, rule=spec.pixels)
        if needs > max_bytes:
            raise ImageTooLarge(
                f"{image.width} x {image.height} pixels as {image.format}, {image.mode}, take about "
                f"{math.ceil(needs / 1e6):,} MB to decode; at most {max_bytes // 1_000_000:,} MB are there for it"
            )
        return Opened(image, spec, math.prod(image.size), needs)


@contextmanager
def _refused() -> Iterator[None]:
    """Turn what is wrong with an image into a problem."""
    try:
        yield
    except UnknownFormat as error:
        raise Problem(415, f"the image: {error}") from None
    except ImageTooLarge as error:
        raise Problem(413, f"the image: {error}. Scale it down before sending it.") from None
    except BadImage as error:
        raise Problem(422, f"the image: {error}") from None


def _read_form(content_type: str, body: bytes, most: int | None) -> tuple[list[bytes | Problem], list[tuple[str, str]]]:
    try:
        parts = parse_multipart(content_type, body, max_parts=MAX_FIELDS + 2 * (most or 1))
    except BrokenMultipart as error:
        raise Problem(400, f"the multipart body cannot be read: {error} {HOW_TO_SEND}") from None
    images = [part for part in parts if part.name == "image"]
    others = [part for part in parts if part.name != "image"]
    if not images:
        found = sorted({_short(part.name) for part in others}) or "no field"
        raise Problem(400, f"the body has no field image; it has {found}. {HOW_TO_SEND}")
    if most is None and len(images) > 1:
        raise Problem(400, f"the body has {len(images)} fields image; send one, or several to /predict/batch.")
    for part in others:
        if part.is_file or len(part.data) > MAX_FIELD_BYTES:
            raise Problem(422, f"the field {_short(part.name)} is a file or too long; an option is a short text")
    if not all(part.is_file for part in images):
        raise Problem(415, f"the field image holds text, not a file; nothing is fetched from a URL. {HOW_TO_SEND}")
    return [part.data for part in images], [(part.name, part.data.decode("utf-8", "replace")) for part in others]


def _read_json(body: bytes, most: int | None) -> tuple[list[bytes | Problem], list[tuple[str, Any]]]:
    if sum(map(body.count, _JSON_MARKS)) > MAX_JSON_VALUES + 2 * (most or 1):  # a value may take 150 times its bytes
        raise Problem(422, "the JSON body holds more values than an image and its options are")
    if len(body) > MAX_WIDE_BYTES and _WIDE.search(body):  # one such letter makes all of a text four bytes a letter
        raise Problem(422, "the JSON body holds letters outside of Latin-1: an image in base64 has none")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is no JSON: {_short(str(error))}") from None
    if not isinstance(document, dict):
        raise Problem(422, 'the JSON body must be an object, such as {"image": "<base64>"}')
    name = "image" if most is None else "images"
    if name not in document:
        found = sorted(_short(key) for key in document)[:MAX_FIELDS] or "nothing"
        raise Problem(400, f"the JSON body has no {name}; it has {found}")
    given = document.pop(name)
    if most is None:
        return [_from_base64(given, name)], list(document.items())
    if not isinstance(given, list) or not given:
        raise Problem(422, 'images must be a list of at least one image: {"images": ["<base64>", …]}')
    images = [_from_base64(text, f"images[{place}]") for place, text in enumerate(given)]
    if not any(isinstance(text, str) for text in given) and isinstance(images[0], Problem):
        raise images[0]  # whoever sent this means something else by images
    return images, list(document.items())


def _from_base64(text: Any, name: str) -> bytes | Problem:
    if not isinstance(text, str):
        return Problem(422, f"{name} must be the image file in base64, as a string")
    try:
        return base64.b64decode(text.encode("ascii").translate(None, BREAKS), validate=True)
    except (binascii.Error, ValueError) as error:
        hint = " Leave out all up to the comma." if text.startswith("data:") else ""
        return Problem(422, f"{name} is no base64 (RFC 4648, section 4): {error}.{hint}")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
