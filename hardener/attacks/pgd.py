"""Projected gradient descent (ascent on the loss)."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._ascent import Ascent
from hardener.attacks._gradient import Classifier, rescaled_cross_entropy
from hardener.catalog import resolve
from hardener.geometry import fit_box, norm_geometry
from hardener.losses import OBJECTIVES


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
    loss: str = "ce",
    rescale: bool = True,
    eot_draws: int = 1,
    bf16: bool = False,
    stop_early: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb a loss in steps, projected on ball and box after each, until an iterate is misclassified.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        step_size: a fraction of the pixel range; by default 2.5 eps / steps, so that any point of the ball can be
            reached from any start with steps to spare.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        loss: `ce`, `margin` or `dlr`.
        rescale: of `ce`: scale the logits of each image by the lead of its largest, so that neither huge nor tiny nor
            smoothed ones hide the gradient. False: the plain cross-entropy, as in the paper.
        eot_draws: passes, >= 1, that each gradient is averaged over, for models that answer differently twice.
        bf16: take gradients in bfloat16; what they break is checked again in float32.
        stop_early: an image leaves the batch at its first misclassified iterate, which is returned. False: every
            image takes all steps, for examples that should fool other models too.
        generator: of the random start.
    Returns:
        (N, C, H, W), inside ball and box; the first misclassified iterate, or the last.
    Raises:
        HardenerError: unknown norm or loss.
    Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.
    """
    ball = norm_geometry(norm)
    objective = resolve(OBJECTIVES, loss, "loss")
    if loss == "ce" and rescale:
        objective = rescaled_cross_entropy
    length = 2.5 * eps / steps if step_size is None else step_size
    start = torch.zeros_like(images)
    if random_start:
        start = fit_box(images, ball.random_point(images, eps, generator))
    ascent = Ascent(
        model,
        images,
        labels,
        start,
        objective=objective,
        eot_draws=eot_draws,
        bf16=bf16,
        stop_early=stop_early,
    )
    for gradient in ascent.gradients(steps):
        moved = ascent.delta + length * ball.climbing_step(gradient, eps)
        ascent.delta = ball.project_in_box(ascent.images, moved, eps)
    return ascent.found()
