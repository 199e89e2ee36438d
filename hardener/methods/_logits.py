"""What a network answers, in numbers wide enough for a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def wide_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits, (N, K), in at least float32."""
    logits: Tensor = model(images)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
