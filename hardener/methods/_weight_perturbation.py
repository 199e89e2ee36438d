"""Adversarial weight perturbation: the loss where the weights are worse, and the way back to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hardener.geometry.l2 import L2


class WeightClimb:
    """Moves weights uphill for one forward and backward pass, and puts them back bit for bit.

    Each weight w with more than one dimension moves by gamma |w| g / |g|, g the loss's gradient for it: by the same
    share of its length in every layer, which no rescaling of a layer changes.

    Note: the published code computes the gradient on a copy of the network, so that the extra pass leaves no mark in
        the batch statistics; here they are put back after it. It moves what is called `weight`; here every parameter
        of that shape moves, such as a transformer's position embedding, and frozen ones stay. Of several processes
        each moves its copy along the gradient of its own images, and all end at the same weights again.
    Source: Wu, Xia, Wang, "Adversarial Weight Perturbation Helps Robust Generalization", NeurIPS 2020.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[nn.Parameter, Tensor]] = []

    def loss(self, model: nn.Module, loss: Callable[[], Tensor], *, gamma: float) -> Tensor:
        """Return `loss()` at the moved weights, which stay moved until `put_back`.

        Args:
            model: its weights move; no `.grad` changes.
            loss: a scalar that depends on the weights; called once more, for its gradient.
            gamma: the relative size of the move, >= 0; at 0 the loss is taken where the weights are.
        """
        self.put_back()
        if gamma > 0:
            self._move(model, loss, gamma)
        return loss()

    @torch.no_grad()
    def put_back(self) -> None:
        """Give every moved weight its value again; nothing happens where none is moved."""
        for weight, value in self._kept:
            weight.copy_(value)
        if self._kept:
            torch.clear_autocast_cache()
        self._kept.clear()

    def _move(self, model: nn.Module, loss: Callable[[], Tensor], gamma: float) -> None:
        weights = [weight for weight in model.parameters() if weight.requires_grad and weight.dim() > 1]
        with _same_buffers(model):
            gradients = torch.autograd.grad(loss(), weights, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                self._kept.append((weight, weight.clone()))
                uphill = L2.steepest(gradient.unsqueeze(0)).squeeze(0)
                weight.add_(gamma * torch.linalg.vector_norm(weight) * uphill)
        torch.clear_autocast_cache()  # it holds the weights in bfloat16 as they were


@contextmanager
def _same_buffers(model: nn.Module) -> Iterator[None]:
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)
