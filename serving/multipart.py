"""A complete multipart/form-data body -> its parts, by python-multipart. Nothing here touches the disk.

The number of bytes is bounded before, where the body is read; the number of parts and the size of their headers here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from hardener.config.serving_limits import FIXED

MAX_HEADERS = FIXED["part_headers"].value
MAX_HEADER_BYTES = FIXED["part_header_bytes"].value
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every body that a stranger has broken


class BrokenMultipart(Exception):
    """The bytes are no multipart/form-data body; the message says where they go wrong."""


@dataclass(frozen=True)
class Part:
    """One field of a form; `is_file` where it carries a file name, or a content type that is not text."""

    name: str
    is_file: bool
    data: bytes


def parse_multipart(content_type: str, body: bytes, *, max_parts: int) -> list[Part]:
    """Split a body at its boundary.

    Args:
        content_type: the request's Content-Type header.
        max_parts: more than these are refused.
    Raises:
        BrokenMultipart: no boundary, a body that does not begin or end with it, a part without a name, too many parts,
            too many or too long headers.
    Source: RFC 2046, section 5.1.1 (the syntax), and RFC 7578, section 4 (names of fields and files).
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise BrokenMultipart("Missing boundary in the content type.")
    # python-multipart takes no preamble, which the syntax allows
    start = 0 if body.startswith(b"--" + boundary) else body.find(b"\r\n--" + boundary)
    if start < 0:
        raise BrokenMultipart("The boundary of the content type is not in the body.")
    form = _Form(max_parts)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin_part,
                "on_header_field": form.add_to_name,
                "on_header_value": form.add_to_value,
                "on_header_end": form.end_header,
                "on_part_data": form.add_data,
                "on_part_end": form.end_part,
                "on_end": form.end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        parser.write(body[start:])
    except FormParserError as error:
        raise BrokenMultipart(f"{error}.") from None
    if not form.ended:
        raise BrokenMultipart("It breaks off: the last boundary is missing.")
    return form.parts


class _Form:
    """Hears of what a body holds, piece by piece, and puts the parts together."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._max_parts = max_parts

    def begin_part(self) -> None:
        if len(self.parts) == self._max_parts:
            raise BrokenMultipart(f"Too many parts; at most {self._max_parts} are taken.")
        self._headers: dict[bytes, bytes] = {}
        self._data: list[bytes] = []
        self._name = self._value = b""

    def add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def add_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def end_part(self) -> None:
        _, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in parameters:
            raise BrokenMultipart("A part has no name in its Content-Disposition header.")
        stated = self._headers.get(b"content-type", b"text/plain").lower()
        is_file = b"filename" in parameters or not stated.startswith(b"text/")
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        self.parts.append(Part(parameters[b"name"].decode("utf-8", "replace"), is_file, data))

    def end(self) -> None:
        self.ended = True
