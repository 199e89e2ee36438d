"""The minimum-margin attack: PGD towards each of the few likeliest classes."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._layout import fast_layout
from hardener.attacks._slowing import Pace, beginning, slowing_climb
from hardener.attacks._targets import lead, likely_targets, targets_at_once


def mm(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 20,
    targets: int = 3,
    random_start: bool = True,
    start: Tensor | None = None,
    bf16: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Drive each image to its likeliest wrong classes, one after the other, up the lead of the class's logit.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps for each target, >= 1; they shorten from eps to nothing.
        targets: wrong classes to try, >= 1; all K - 1 where there are fewer.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        start: (N, C, H, W), points to start from instead, brought into ball and box; the likeliest classes are then
            those that are likeliest there.
        bf16: take gradients in bfloat16; what they break is checked again in float32.
        generator: of the random starts, one a target.
    Returns:
        (N, C, H, W), inside ball and box: the first misclassified point, or where the last target came nearest.
    Raises:
        HardenerError: unknown norm.
    Note: the paper scales each image's logits, which changes no step in any norm here, and takes PGD's even steps.
    Source: Gao et al., "Fast and Reliable Evaluation of Adversarial Robustness with Minimum-Margin Attack", ICML 2022.
    """
    images, pace = fast_layout(images), Pace(norm, eps, steps, bf16)
    classes, standing = likely_targets(model, images if start is None else start, labels, targets)
    found = images.clone()
    place, rank = standing.nonzero().squeeze(1), 0
    if start is not None:
        found[~standing] = start[~standing]
    while len(place) > 0 and rank < classes.shape[1]:
        aims = classes[place, rank:]
        aims = aims[:, : targets_at_once(images[place], aims)]
        own = None if start is None else start[place]
        begin = beginning(images[place], own, pace, random_start=random_start, generator=generator)
        found[place], fell = slowing_climb(model, images[place], labels[place], lead, pace, begin, targets=aims)
        place, rank = place[~fell], rank + aims.shape[1]
    return found
