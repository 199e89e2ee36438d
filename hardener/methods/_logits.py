"""What a network answers, in numbers wide enough for a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def wide_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits, (N, K), in at least float32."""
    return widened(model(images))


def widened(logits: Tensor) -> Tensor:
    """Return logits, (N, K), in at least float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
