"""The fast gradient sign method."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.geometry import norm_geometry


def fgsm(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Take one step of length `eps` along the steepest direction of the cross-entropy.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS. `linf` follows the sign of the gradient, `l2` the normalised gradient; `l1` takes the
            values with the largest gradients to their sides of the box, as many as eps allows.
        eps: radius, a fraction of the pixel range.
        generator: not used; the attack is deterministic.
    Returns:
        (N, C, H, W), inside ball and box.
    Source: Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.
    """
    _, _, gradient = value_and_gradient(model, images, labels)
    return images + norm_geometry(norm).farthest_in_box(images, gradient, eps)
