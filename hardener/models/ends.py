"""Networks whose answers are probabilities, or their logarithms, and no logits; and the line that makes them so."""

from __future__ import annotations

import linecache
import re
import sys
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hardener.models.code.user_code import is_users
from hardener.models.conditions import Remark
from hardener.models.tame import line_of

_ENDS = {"SoftmaxBackward0": "Softmax", "SigmoidBackward0": "Sigmoid", "LogSoftmaxBackward0": "LogSoftmax"}
_SHAPING = {"ViewBackward0", "SqueezeBackward0", "SqueezeBackward1", "UnsqueezeBackward0", "ReshapeAliasBackward0"}
_CLOSE = 1e-3
"""How far from 1 the sum of probabilities may lie in bfloat16, with what some add against zeros."""
_HARM = (
    "what it returns are no logits. Training already takes the softmax, so it learns less, and attacks see less of its "
    "gradients. Take it out of the model file"
)


class EndsWatched(TorchFunctionMode):
    """Notes which line of the user's called softmax, sigmoid or log_softmax last."""

    def __init__(self) -> None:
        super().__init__()
        self.line: tuple[str, int] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "softmax" in getattr(func, "__name__", "") or "sigmoid" in getattr(func, "__name__", ""):
            frame = sys._getframe(1)
            while frame.f_back is not None and not is_users(Path(frame.f_code.co_filename)):
                frame = frame.f_back
            self.line = (frame.f_code.co_filename, frame.f_lineno)
        return func(*args, **(kwargs or {}))


def end_of(rows: Tensor) -> str | None:
    """Return what kind of layer a network's answers come from last, where that is a softmax, sigmoid or log-softmax."""
    node: Any = rows.grad_fn
    while node is not None and (node.name() in _SHAPING or node.name() == "ToCopyBackward0"):
        node = node.next_functions[0][0]
    return None if node is None else _ENDS.get(node.name())


def are_probabilities(rows: Tensor) -> bool:
    """Are all numbers between 0 and 1, and the sum of each row 1?"""
    numbers = rows.detach().float()
    return bool((numbers >= 0).all() and ((numbers.sum(dim=1) - 1).abs() < _CLOSE).all())


def remarks_on_end(rows: Tensor, watched: EndsWatched, network: nn.Module) -> list[Remark]:
    """Say where a network's answers in training mode are probabilities, or their logarithms."""
    name = end_of(rows)
    if name == "LogSoftmax":
        text = "its softmax is the same, so nothing is lost: what is returned as logits are logarithms of probabilities"
        return [Remark(f"the model ends in a LogSoftmax{_line(name, watched, network)}: {text}")]
    if name is not None:
        return [Remark(f"the model ends in a {name}{_line(name, watched, network)}: {_HARM}", wrong=True)]
    if are_probabilities(rows):
        return [Remark(f"the model's answers are probabilities, whose sum is 1: {_HARM}", wrong=True)]
    return []


def remarks_on_end_in_eval_mode(rows: Tensor, network: nn.Module) -> list[Remark]:
    """Say where a network's answers are probabilities in eval mode alone."""
    if not are_probabilities(rows):
        return []
    where = line_of(network, re.compile(r"self\.training"))
    return [
        Remark(
            f"the model returns probabilities in eval mode and logits in training{where}: attacks see less of its "
            "gradients, and it looks more robust than it is. Return the logits in both",
            wrong=True,
        )
    ]


def _line(name: str, watched: EndsWatched, network: nn.Module) -> str:
    """Return the line that calls the last layer; where the call does not show it, the one line that names it."""
    pattern = re.compile(name.replace("LogS", "log_?s"), re.IGNORECASE)
    called = "" if watched.line is None else f" ({Path(watched.line[0]).name}, line {watched.line[1]})"
    if watched.line is not None and pattern.search(linecache.getline(*watched.line)):
        return called
    return line_of(network, pattern, whole=True, only=True) or called
