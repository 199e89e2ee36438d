"""The wire format of protocol buffers, as far as records of images need it."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field's number and value: an integer, or bytes of a text, a message or a float.

    Raises:
        ValueError: it is no message.
    """
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, place = _varint(data, place)
        if length is None or place + length > len(data):
            raise ValueError("it is no message of protocol buffers")
        yield key >> 3, data[place : place + length]
        place += length


def integers(value: int | bytes) -> list[int]:
    """Return a repeated field of integers, packed or not."""
    if isinstance(value, int):
        return [value]
    found, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        found.append(number)
    return found


def floats(value: int | bytes) -> list[float]:
    """Return a repeated field of floats, packed or not."""
    return list(struct.unpack(f"<{len(value) // 4}f", value)) if isinstance(value, bytes) else []


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError("it is no message of protocol buffers")
