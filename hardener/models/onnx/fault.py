"""What torch's exporter or ONNX Runtime says of a network -> one error with the operation, the line, and a way out."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hardener.errors import Failure
from hardener.models.code.user_code import first_line, is_users, place_of

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r'File "(.+?)", line (\d+)')
_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")
_NODE = re.compile(r"(?:with name|Name:|running) ?'([^']+)'")
_OTHER = "Write that part with other tensor operations."


def translation_fault(
    error: BaseException, module: nn.Module, images: Tensor, reading: Sequence[tuple[str, int]] = ()
) -> Failure:
    """Say why torch's exporter cannot translate a module.

    Args:
        reading: lines of the user's code that take plain numbers from tensors that depend on the images.
    """
    chain = list(_chain(error))
    missing = next((found for link in chain if (found := _MISSING.search(str(link)))), None)
    if missing is not None:
        name = missing[1].replace("aten.", "torch.", 1)
        at = _caller(missing[1], module, images)
        return _because(f"ONNX has no operation for {name}{at}. {_OTHER}", error)
    root = next((link for link in reversed(chain) if place_of(link) is not None), chain[-1])
    at = _at(root)
    if any("DataDependent" in type(link).__name__ or "data-dependent" in str(link) for link in chain):
        return _because(
            f"torch's exporter cannot translate the model: its code decides by values of the images{at}. Write the "
            "choice with torch.where, which computes both sides.",
            error,
        )
    told = _clean(first_line(root)).rstrip(".")
    if not at and reading and ".numpy()" in told:
        at = f" ({Path(reading[0][0]).name}, line {reading[0][1]})"
        told = f"its code makes a NumPy array of what depends on the images{at}"
        return _because(f"torch's exporter cannot translate the model: {told}. {_OTHER}", error)
    return _because(f"torch's exporter cannot translate the model: {type(root).__name__}: {told}{at}. {_OTHER}", error)


def session_fault(error: BaseException, model: onnx.ModelProto) -> Failure:
    """Say why ONNX Runtime cannot run a graph that still has the exporter's traces."""
    told = _clean(first_line(error)).rstrip(".")
    named = _NODE.search(told)
    node = None if named is None else next((node for node in model.graph.node if node.name == named[1]), None)
    if node is None:
        return _because(f"ONNX Runtime cannot run the model: {told}. {_OTHER}", error)
    traces = " ".join(entry.value for entry in node.metadata_props if "stack_trace" in entry.key)
    told = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", told)
    return _because(f"ONNX Runtime cannot run the node {node.op_type}{_last_of(traces)}: {told}. {_OTHER}", error)


def _because(text: str, error: BaseException) -> Failure:
    fault = Failure(text)
    fault.__cause__ = error
    return fault


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _clean(text: str) -> str:
    return _ESCAPES.sub("", text)


def _at(error: BaseException) -> str:
    place = place_of(error)
    if place is not None:
        return f" ({place}{f': {place.code}' if place.code else ''})"
    return _last_of(str(error))


def _last_of(text: str) -> str:
    """Return ` (file, line n)` of the last of the user's own lines that a text names, or nothing."""
    lines = [f"{Path(file).name}, line {line}" for file, line in _FRAME.findall(text) if is_users(Path(file))]
    return f" ({lines[-1]})" if lines else ""


class _Watching(TorchDispatchMode):
    """Notes the user's line that calls an operation for the first time."""

    def __init__(self, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name, self.place = name, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.place and str(func).startswith(self.name):
            frame = sys._getframe(1)
            while frame is not None and not is_users(Path(frame.f_code.co_filename)):
                frame = frame.f_back  # type: ignore[assignment]
            if frame is not None:
                self.place = f" ({Path(frame.f_code.co_filename).name}, line {frame.f_lineno})"
        return func(*args, **(kwargs or {}))


def _caller(name: str, module: nn.Module, images: Tensor) -> str:
    watching = _Watching(name)
    with contextlib.suppress(Exception), torch.no_grad(), watching:  # the user's own code: it may raise anything
        module(images)
    return watching.place
