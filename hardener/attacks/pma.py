"""PGD on the probability margin."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._slowing import Pace, beginning, slowing_climb
from hardener.catalog import resolve
from hardener.losses import OBJECTIVES


def pma(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 20,
    loss: str = "pm",
    random_start: bool = True,
    start: Tensor | None = None,
    bf16: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb the probability margin by steps that shorten from eps to nothing; images that fall leave at once.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        loss: what is climbed, a name in OBJECTIVES.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        start: (N, C, H, W), points to start from instead, brought into ball and box.
        bf16: take gradients in bfloat16; what they break is checked again in float32.
        generator: of the random start.
    Returns:
        (N, C, H, W), inside ball and box: the first misclassified point, or the one where another class came nearest.
    Raises:
        HardenerError: unknown norm or loss.
    Note: steps shorten as half a cosine and repeat a quarter of the one before.
    Source: Xie, Zheng, Huang, Ye, Ma, "Towards Million-Scale Adversarial Robustness Evaluation With Stronger
        Individual Attacks", CVPR 2025 (PMA).
    """
    pace = Pace(norm, eps, steps, bf16)
    begin = beginning(images, start, pace, random_start=random_start, generator=generator)
    found, _ = slowing_climb(model, images, labels, resolve(OBJECTIVES, loss, "loss"), pace, begin)
    return found
