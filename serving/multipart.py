"""A complete multipart/form-data body -> its parts. The body is bounded before, so nothing here touches the disk."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEADER_BYTES = 8192
_PARAMETER = re.compile(rb';\s*([a-z*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)


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
        BrokenMultipart: no boundary, a body that does not begin or end with it, a part without a name.
    Source: RFC 2046, section 5.1.1 (the syntax), and RFC 7578, section 4 (names of fields and files).
    """
    boundary = _parameters(content_type.encode("latin-1", "replace")).get(b"boundary", b"")
    if not 1 <= len(boundary) <= 200:
        raise BrokenMultipart("Missing boundary in the content type.")
    delimiter = b"\r\n--" + boundary
    if body.startswith(delimiter[2:]):
        place = len(delimiter) - 2
    elif (found := body.find(delimiter)) >= 0:
        place = found + len(delimiter)
    else:
        raise BrokenMultipart("The boundary of the content type is not in the body.")
    parts: list[Part] = []
    while body[place : place + 2] != b"--":
        if len(parts) == max_parts:
            raise BrokenMultipart(f"Too many parts; at most {max_parts} are taken.")
        line_end = body.find(b"\r\n", place, place + 100)
        if line_end < 0 or body[place:line_end].strip(b" \t"):
            raise BrokenMultipart("A boundary is not followed by the end of its line.")
        headers_end = body.find(b"\r\n\r\n", line_end, line_end + MAX_HEADER_BYTES)
        end = body.find(delimiter, line_end)
        if headers_end < 0 or end < headers_end + 2:
            raise BrokenMultipart("A part breaks off: it has no end of its headers, or no boundary after it.")
        name, is_file = _disposition(body[line_end + 2 : headers_end])
        parts.append(Part(name, is_file, body[headers_end + 4 : end]))
        place = end + len(delimiter)
    return parts


def _disposition(headers: bytes) -> tuple[str, bool]:
    fields = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(b":") for line in headers.split(b"\r\n"))
        if colon
    }
    parameters = _parameters(fields.get(b"content-disposition", b""))
    if b"name" not in parameters:
        raise BrokenMultipart("A part has no name in its Content-Disposition header.")
    stated = fields.get(b"content-type", b"text/plain").lower()
    is_file = b"filename" in parameters or b"filename*" in parameters or not stated.startswith(b"text/")
    return parameters[b"name"].decode("utf-8", "replace"), is_file


def _parameters(header: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for match in _PARAMETER.finditer(header):
        quoted, bare = match[2], match[3]
        found.setdefault(match[1].lower(), bare if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted))
    return found
