"""The margin by which another class leads."""

from __future__ import annotations

import torch
from torch import Tensor


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return max over k != y of z_k, minus z_y, of each image.

    Positive exactly where the image is misclassified (up to ties). Its gradient does not vanish however large the
    logits are, but it grows with their scale.

    Args:
        logits: (N, K), z, K >= 2.
        labels: (N,) int64, y.
    Returns:
        (N,).
    Source: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", S&P 2017, f_6
        without its max(., 0), for an attack on the true class.
    """
    place = labels.unsqueeze(1)
    own = logits.gather(1, place).squeeze(1)
    return logits.scatter(1, place, -torch.inf).amax(dim=1) - own


def relative_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the margin as a share of what an image's logits spread over, so that images can be compared.

    With two classes that share is 1 or -1 for every image, and what comes back is the margin itself.

    Args:
        logits: (N, K), K >= 2.
        labels: (N,) int64.
    Returns:
        (N,), in [-1, 1] where K > 2.
    """
    lead = margin(logits, labels)
    if logits.shape[1] == 2:
        return lead
    spread = logits.amax(dim=1) - logits.amin(dim=1)
    return lead / spread.clamp_min(torch.finfo(logits.dtype).tiny)
