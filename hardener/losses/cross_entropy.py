"""Cross-entropy against the true class, image by image."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return - log softmax(logits)_y of each image.

    Args:
        logits: (N, K), K >= 2.
        labels: (N,) int64, y.
    Returns:
        (N,), >= 0; what gradient attacks climb since Goodfellow et al., ICLR 2015.
    """
    return functional.cross_entropy(logits, labels, reduction="none")
