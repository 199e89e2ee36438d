"""What an ONNX file says of itself, read without the packages that serving does without."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_DEEPEST = 60
# Which fields of a message lead to weights: number -> the message there. Source: onnx.proto3 of ONNX 1.23.
_TENSOR: Mapping[int, Any] = {}
_SPARSE: Mapping[int, Any] = {1: _TENSOR, 2: _TENSOR}
_GRAPH: dict[int, Any] = {5: _TENSOR, 15: _SPARSE}
_ATTRIBUTE: Mapping[int, Any] = {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE}
_NODE: Mapping[int, Any] = {5: _ATTRIBUTE}
_GRAPH[1] = _NODE
_MODEL: Mapping[int, Any] = {7: _GRAPH, 20: {1: _GRAPH, 2: _GRAPH}, 25: {7: _NODE, 11: _ATTRIBUTE}}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor


class NoOnnxFile(Exception):
    """The bytes are no message of protobuf's form."""


def keeps_weights_elsewhere(path: Path) -> bool:
    """Find out whether any tensor of an ONNX file lies in another file.

    Raises:
        NoOnnxFile: it is no ONNX file.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise NoOnnxFile
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
            return _has_external(view, 0, len(view), _MODEL, 0)


def _has_external(data: memoryview, start: int, end: int, message: Mapping[int, Any], depth: int) -> bool:
    if depth > _DEEPEST:
        raise NoOnnxFile
    for number, value, inside in _fields(data, start, end):
        if message is _TENSOR:
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                return True
        elif inside and number in message and _has_external(data, value, inside, message[number], depth + 1):
            return True
    return False


def _fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, value and 0 of each plain field; number, start and end of each that holds bytes.

    Source: Protocol Buffers, "Encoding"; groups are older than ONNX, which has none.
    """
    at = start
    while at < end:
        key, at = _varint(data, at, end)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at, end)
            yield number, value, 0
        elif kind == 2:
            length, at = _varint(data, at, end)
            if length > end - at:
                raise NoOnnxFile
            yield number, at, at + length
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise NoOnnxFile
    if at != end:
        raise NoOnnxFile


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), at
    raise NoOnnxFile
