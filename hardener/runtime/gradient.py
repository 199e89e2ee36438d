"""The gradient of some values, 0 where autograd sees no way."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_of(values: Tensor, inputs: Tensor, *, keep_graph: bool = False) -> Tensor:
    """Return the gradient of the sum of `values` with respect to `inputs`, shaped like them.

    It is 0 where the values do not depend on the inputs through autograd (rounding in numpy, a detached tensor).
    """
    if not values.requires_grad:
        return torch.zeros_like(inputs)
    (found,) = torch.autograd.grad(values.sum(), inputs, retain_graph=keep_graph, allow_unused=True)
    return torch.zeros_like(inputs) if found is None else found
