"""Targeted Auto-PGD."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._apgd import Climb, climb
from hardener.attacks._gradient import Classifier
from hardener.attacks._layout import fast_layout
from hardener.attacks._targets import likely_targets, targets_at_once
from hardener.losses.dlr import targeted_dlr


def apgd_t(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 100,
    targets: int = 9,
    random_start: bool = True,
    eot_draws: int = 1,
    bf16: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Drive each image to its most likely wrong classes, likeliest first, until it falls.

    What is climbed is the targeted difference of logits ratio; with two or three classes, where that is not defined,
    the lead of the target's logit.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps for each target, >= 1.
        targets: wrong classes to try, >= 1; all K - 1 where there are fewer.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        eot_draws: passes that each gradient is averaged over, for models that answer differently twice.
        bf16: take gradients and objective in bfloat16. An image falls only where a float32 pass agrees, and goes on
            otherwise; a rise too small for three digits goes unseen, so a step size may be halved early.
        generator: of the random starts.
    Returns:
        (N, C, H, W), inside ball and box. An image that never falls comes back as near to its last target as it came.
    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020, Algorithm 1 and equation 7 (APGD-T of the standard suite).
    """
    images = fast_layout(images)
    classes, standing = likely_targets(model, images, labels, targets)
    found = images.clone()
    place, rank = standing.nonzero().squeeze(1), 0
    while len(place) > 0 and rank < classes.shape[1]:
        aims = classes[place, rank:]
        aims = aims[:, : targets_at_once(images[place], aims)]
        found[place], fell = climb(
            model,
            images[place],
            labels[place],
            targeted_dlr,
            Climb(norm, eps, steps, random_start, eot_draws, bf16),
            targets=aims,
            generator=generator,
        )
        place, rank = place[~fell], rank + aims.shape[1]
    return found
