"""The basic iterative method."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._ascent import Ascent
from hardener.attacks._gradient import Classifier
from hardener.geometry import norm_geometry


def bim(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 10,
    step_size: float | None = None,
    stop_early: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Repeat small FGSM steps from the image itself, clipped to ball and box after each.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS; the paper has `linf`.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        step_size: a fraction of the pixel range; by default 1.25 eps / steps, which with ten steps at eps = 8/255 is
            the paper's: steps of 1/255, min(eps + 4, 1.25 eps) of them with eps counted in 1/255.
        stop_early: an image leaves the batch at its first misclassified iterate. False: it takes all steps.
        generator: not used; the attack is deterministic.
    Returns:
        (N, C, H, W), inside ball and box; the first misclassified iterate, or the last.
    Raises:
        HardenerError: unknown norm.
    Source: Kurakin, Goodfellow, Bengio, "Adversarial Examples in the Physical World", ICLR 2017 workshop
        (the basic iterative method).
    """
    ball = norm_geometry(norm)
    length = 1.25 * eps / steps if step_size is None else step_size
    ascent = Ascent(model, images, labels, torch.zeros_like(images), stop_early=stop_early)
    for gradient in ascent.gradients(steps):
        moved = ascent.delta + length * ball.climbing_step(gradient, eps)
        ascent.delta = ball.project_in_box(ascent.images, moved, eps)
    return ascent.found()
