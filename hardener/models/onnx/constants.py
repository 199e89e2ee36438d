"""What a network's code reads of its own weights as plain numbers: the same for all images, so constants of a graph."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from hardener.models.code.user_code import is_users

_READS = {
    Tensor.numpy, Tensor.__array__, Tensor.tolist, Tensor.item,
    Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__,
}  # fmt: skip
_PASSED = (str(Path(torch.__file__).parent), str(Path(__file__).parent.parent))
"""Where the frames lie that stand between a line and the read that it makes."""
_OF_IMAGES = object()
Line = tuple[str, int]
Reads = Mapping[tuple[str, Line], Sequence[Any]]


def constant_reads(module: nn.Module, images: Sequence[Tensor]) -> tuple[Reads, list[Line]]:
    """Run a module, and note which numbers its code reads of tensors that are made of its weights and buffers alone.

    Args:
        images: several batches: what is not the same for all of them is no constant.
    Returns:
        The numbers, in their order, by the line that reads them; and the user's lines that read others.
    """
    passes = []
    for batch in images:
        with (
            torch.random.fork_rng(devices=[]),
            torch.no_grad(),
            contextlib.suppress(Exception),  # the user's own code: it may raise anything
            _Reading(module) as reading,
        ):
            module(batch)
        passes.append(reading.read)
    same = {key for key in passes[0] if all(_alike(passes[0][key], one.get(key, [])) for one in passes)}
    others = [line for name, line in passes[0] if (name, line) not in same and is_users(Path(line[0]))]
    return {key: passes[0][key] for key in same}, others


class Replayed(TorchFunctionMode):
    """Answer a read of a tensor that holds no numbers, as in an export, with what was read before."""

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self._reads, self._counts = reads, Counter[tuple[str, Line]]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS and type(args[0]) not in (Tensor, nn.Parameter) and (key := _key(func)) in self._reads:
            place = self._counts[key] % len(self._reads[key])  # an exporter may run the code again
            self._counts[key] += 1
            return copy.copy(self._reads[key][place])
        return func(*args, **(kwargs or {}))


class _Reading(TorchFunctionMode):
    """Follows what is made of a module's own tensors, and of nothing else."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        held = [one for part in module.modules() for one in vars(part).values() if isinstance(one, Tensor)]
        self._own = {id(one): one for one in (*module.parameters(), *module.buffers(), *held)}
        self.read: dict[tuple[str, Line], list[Any]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        own = bool(given) and all(id(one) in self._own for one in given)
        if func in _READS:
            name, line = _key(func)
            if func is Tensor.tolist:  # which an export does number by number
                name, numbers = "item", given[0].flatten().tolist()
            else:
                numbers = [copy.copy(found)]
            self.read.setdefault((name, line), []).extend(numbers if own else [_OF_IMAGES] * len(numbers))
            return found
        made = [one for one in tree_leaves(found) if isinstance(one, Tensor)]
        if own:
            self._own |= {id(one): one for one in made}
        elif given:  # what is written into is no longer the module's own
            for one in (*made, *(given[:1] if func is Tensor.__setitem__ else ())):
                self._own.pop(id(one), None)
        return found


def _alike(one: Sequence[Any], other: Sequence[Any]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(
        a is not _OF_IMAGES and b is not _OF_IMAGES and np.array_equal(a, b) for a, b in pairs
    )


def _key(func: Any) -> tuple[str, Line]:
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSED):
        frame = frame.f_back
    return func.__name__, (frame.f_code.co_filename, frame.f_lineno)
