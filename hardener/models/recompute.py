"""Blocks that keep no activations for the backward pass and compute them again there: less memory, more time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute(blocks: Sequence[nn.Module]) -> None:
    """Let each block compute its inside again in the backward pass. Loss, gradients and batch statistics stay.

    A block that has a forward of its own on the instance is left alone. Deep copies recompute too.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174, by torch.utils.checkpoint.
    """
    for block in blocks:
        if "forward" not in vars(block):
            block.forward = MethodType(_forward, block)  # bound: deepcopy binds the copy


def _forward(block: nn.Module, *inputs: Any, **named: Any) -> Any:
    forward = partial(type(block).forward, block)
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=partial(_contexts, block), **named)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _counting_once(block)


@contextmanager
def _counting_once(block: nn.Module) -> Iterator[None]:
    """Keep batch statistics out of the running ones: the first pass has put them there."""
    norms = [norm for norm in block.modules() if isinstance(norm, _BatchNorm) and norm.training]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted
