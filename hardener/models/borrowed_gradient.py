"""The answers of one model with the gradients of another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class BorrowedGradient(nn.Module):
    """Answers as `answering` does, exactly, and differentiates as `lending` does: backward pass differentiable
    approximation, for a deployed file and the network that it was exported from.

    Args:
        answering: (N, C, H, W) in [0, 1] -> logits (N, K), without gradients.
        lending: the same, differentiable.
    Source: Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018 (BPDA).
    """

    def __init__(self, answering: nn.Module, lending: nn.Module) -> None:
        super().__init__()
        self.answering, self.lending = answering, lending

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (N, K)."""
        with torch.no_grad():
            answer: Tensor = self.answering(images)
        if not torch.is_grad_enabled():
            return answer
        paired: Tensor = _Lend.apply(answer, self.lending(images))
        return paired


class _Lend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, answer: Tensor, lent: Tensor) -> Tensor:
        return answer.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, grads[0]
