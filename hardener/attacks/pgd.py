"""Projected gradient descent (ascent on the loss)."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.geometry import norm_geometry
from hardener.geometry._box import fit_box


def pgd(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 20,
    step_size: float | None = None,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb the cross-entropy in steps, projected on ball and box after each.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: `linf` or `l2`.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        step_size: a fraction of the pixel range; by default 2.5 eps / steps, so that any point of the ball can be
            reached from any start with steps to spare.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        generator: of the random start.
    Returns:
        (N, C, H, W), inside ball and box; the last iterate.
    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
    """
    ball = norm_geometry(norm)
    length = 2.5 * eps / steps if step_size is None else step_size
    delta = torch.zeros_like(images)
    if random_start:
        delta = fit_box(images, ball.random_point(images, eps, generator))
    for _ in range(steps):
        _, _, gradient = value_and_gradient(model, images + delta, labels)
        delta = ball.project(delta + length * ball.steepest(gradient), eps)
        delta = fit_box(images, delta)
    return images + delta
