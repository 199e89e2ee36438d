"""The wire form of protocol buffers, as far as models and records of images need it; no package reads it here."""

from __future__ import annotations

from collections.abc import Iterator

VARINT, BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
_MOST = 2**64 - 1


class NoMessage(ValueError):
    """The bytes are no message of protocol buffers."""

    def __init__(self) -> None:
        super().__init__("it is no message of protocol buffers")


def walk(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field's number and kind; where its bytes begin, or of a VARINT its value; and where it ends.

    Raises:
        NoMessage: between `start` and `end` there is none.
    Source: Protocol Buffers, "Encoding"; groups, which are out of use, are not known.
    """
    end = len(data) if end is None else end
    at = start
    while at < end:
        key, at = varint(data, at, end)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at, end)
            yield number, kind, value, at
            continue
        length = _FIXED.get(kind)
        if kind == BYTES:
            length, at = varint(data, at, end)
        if length is None or length > end - at:
            raise NoMessage
        yield number, kind, at, at + length
        at += length


def varint(data: bytes | memoryview, at: int, end: int) -> tuple[int, int]:
    """Return a whole number of at most 64 bits, and where it ends.

    Raises:
        NoMessage: it does not end before `end`, or within ten bytes.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MOST, at
    raise NoMessage


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field's number and value: an integer, or bytes of a text, a message or a float.

    Raises:
        NoMessage: it is none.
    """
    for number, kind, at, end in walk(data):
        yield number, at if kind == VARINT else data[at:end]


def integers(value: int | bytes) -> list[int]:
    """Return a repeated field of integers, packed or not.

    Raises:
        NoMessage: the bytes are no packed integers.
    """
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at, len(value))
        found.append(number)
    return found
