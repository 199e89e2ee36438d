"""Network and method as one module whose forward pass is the loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardener.methods.method import Method


class TrainingLoss(nn.Module):
    """What a step differentiates, and what several processes wrap: their gradients are averaged for all it holds.

    Args:
        classifier: (N, C, H, W) in [0, 1] -> logits (N, K).
        called: what is called in its place, such as the same network compiled.
    """

    def __init__(self, classifier: nn.Module, method: Method, called: nn.Module | None = None) -> None:
        super().__init__()
        self.classifier = classifier
        self.method = method
        # in a tuple, so that it is no second module with the same parameters
        self._called: tuple[nn.Module, ...] = (classifier if called is None else called,)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the method's loss of a minibatch, (N, C, H, W) in [0, 1] and (N,) int64."""
        return self.method.loss(self._called[0], images, labels)

    def clean_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss on the clean minibatch with a gradient for the method's `beta` alone."""

        @torch.no_grad()  # beta moves the loss through the labels: no backward pass through the network
        def logits(batch: Tensor) -> Tensor:
            found: Tensor = self._called[0](batch)
            return found

        return self.method.clean_loss(logits, images, labels)
