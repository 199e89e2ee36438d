"""Cross-entropy against soft labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import log_softmax


def soft_cross_entropy(logits: Tensor, soft_labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean over images of - sum_k soft_labels_k log softmax(logits)_k, in at least float32.

    Args:
        logits: (N, K).
        soft_labels: (N, K), rows sum to 1.
        weights: (N,), what each image counts in the mean, which is over N all the same; None: 1.
    Returns:
        A scalar, differentiable in both arguments and linear in `soft_labels`.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021 (vicinity risk minimisation).
    """
    wide = logits if logits.dtype.itemsize >= 4 else logits.float()
    losses = -(soft_labels * log_softmax(wide, dim=1)).sum(dim=1)
    return losses.mean() if weights is None else (weights * losses).mean()
