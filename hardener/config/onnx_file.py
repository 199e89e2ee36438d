"""What an ONNX file says of itself, read without the packages that serving does without."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardener.config.wire import BYTES, VARINT, NoMessage, walk

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
    """The file is no message of protocol buffers."""


def keeps_weights_elsewhere(path: Path) -> bool:
    """Find out whether any tensor of an ONNX file lies in another file.

    Raises:
        NoOnnxFile: it is no ONNX file.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise NoOnnxFile
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
            try:
                return _has_external(view, 0, len(view), _MODEL, 0)
            except NoMessage:
                raise NoOnnxFile from None


def _has_external(data: memoryview, start: int, end: int, message: Mapping[int, Any], depth: int) -> bool:
    if depth > _DEEPEST:
        raise NoMessage
    for number, kind, value, stop in walk(data, start, end):
        if message is _TENSOR:
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and kind == VARINT and value):
                return True
        elif kind == BYTES and number in message and _has_external(data, value, stop, message[number], depth + 1):
            return True
    return False
