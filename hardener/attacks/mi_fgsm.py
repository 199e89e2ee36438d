"""The momentum iterative fast gradient sign method."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._ascent import Ascent
from hardener.attacks._gradient import Classifier
from hardener.geometry import norm_geometry


def mi_fgsm(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 10,
    step_size: float | None = None,
    decay: float = 1.0,
    stop_early: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Step along a running sum of the gradients, which remembers where they agree; made for transfer.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS; in `linf` steps follow the sign of the sum, in `l2` the normalised sum.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        step_size: a fraction of the pixel range; by default eps / steps, as in the paper.
        decay: mu >= 0, the weight of what was before; 0 gives the basic iterative method.
        stop_early: an image leaves the batch at its first misclassified iterate. False: it takes all steps, for
            examples that should fool other models too.
        generator: not used; the attack is deterministic.
    Returns:
        (N, C, H, W), inside ball and box; the first misclassified iterate, or the last.
    Raises:
        HardenerError: unknown norm.
    Source: Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018, Algorithm 1.
    """
    ball = norm_geometry(norm)
    length = eps / steps if step_size is None else step_size
    momentum = torch.zeros_like(images)
    ascent = Ascent(model, images, labels, torch.zeros_like(images), stop_early=stop_early)
    for gradient in ascent.gradients(steps):
        momentum = decay * ascent.keep(momentum) + _in_units_of_l1(gradient)
        moved = ascent.delta + length * ball.climbing_step(momentum, eps)
        ascent.delta = ball.project_in_box(ascent.images, moved, eps)
    return ascent.found()


def _in_units_of_l1(gradient: Tensor) -> Tensor:
    ones = [1] * (gradient.dim() - 1)
    peak = gradient.flatten(1).abs().amax(dim=1).view(-1, *ones)
    scaled = gradient / peak.clamp_min(torch.finfo(gradient.dtype).tiny)  # sums of huge gradients must stay finite
    return scaled / scaled.flatten(1).abs().sum(dim=1).clamp_min(1).view(-1, *ones)
