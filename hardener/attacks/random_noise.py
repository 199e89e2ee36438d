"""Random noise: the floor that any attack has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._queries import margins
from hardener.geometry import norm_geometry


def random_noise(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    draws: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Try random points as far away as the ball allows, and keep the one that comes nearest to another class.

    This is no attack: nobody looks where to go. A model that it breaks as often as an attack does either falls to
    anything or hides its gradient from the attack.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; it need not be differentiable.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS. `linf`: a uniform random corner of the cube; `l2`: a uniform random point of the sphere;
            `l1`: random values, each at a side of the box, as many as eps allows.
        eps: radius, a fraction of the pixel range.
        draws: points an image, >= 1; an image leaves as soon as it falls.
        generator: of the points.
    Returns:
        (N, C, H, W), inside ball and box: the point at which another class leads most, or lacks least.
    Source: the noise baseline of Fawzi, Moosavi-Dezfooli, Frossard, "Robustness of classifiers: from adversarial to
        random noise", NeurIPS 2016.
    """
    ball = norm_geometry(norm)
    found = images.clone()
    largest = margins(model, images, labels)
    for _ in range(draws):
        standing = largest.le(0).nonzero().squeeze(1)
        if len(standing) == 0:
            break
        clean = images[standing]
        normal = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
        points = clean + ball.farthest_in_box(clean, normal, eps)
        lead = margins(model, points, labels[standing])
        better = standing[lead > largest[standing]]
        found[better] = points[lead > largest[standing]]
        largest[better] = lead[lead > largest[standing]]
    return found
