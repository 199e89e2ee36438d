"""Mixup: convex combinations of pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta


def mixup(images: Tensor, soft_labels: Tensor, *, mixup_alpha: float) -> tuple[Tensor, Tensor]:
    """Mix every image and its label with those of a random partner: lam of one, 1 - lam of the other.

    Args:
        images: (N, C, H, W).
        soft_labels: (N, K), rows sum to 1.
        mixup_alpha: lam ~ Beta(mixup_alpha, mixup_alpha), one draw a batch; >= 0, at 0 nothing is mixed.
    Returns:
        Mixed images and labels, shaped as they came; label rows still sum to 1.
    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018; one lam a batch, as in
        the published code of SPROUT.
    """
    if mixup_alpha == 0:
        return images, soft_labels
    shape = torch.full((), mixup_alpha, device=images.device)
    lam = Beta(shape, shape, validate_args=False).sample()  # stays on the device: no host sync
    partner = torch.randperm(len(images), device=images.device)
    return lam * images + (1 - lam) * images[partner], lam * soft_labels + (1 - lam) * soft_labels[partner]
