"""NES: momentum ascent on the margin, with gradients from Gaussian differences."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._queries import estimate_gradient, margins
from hardener.geometry import norm_geometry

_MOMENTUM = 0.9


def nes(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    queries: int = 5000,
    pairs: int = 16,
    spread: float = 0.01,
    learning_rate: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb the margin in steps of one length, on gradients that are estimated from the model's answers alone.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; it need not be differentiable.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS; in `linf` steps follow the sign of the gradient, in `l2` the normalised gradient.
        eps: radius, a fraction of the pixel range.
        queries: forward passes an image at most; an image leaves as soon as it falls.
        pairs: Gaussian directions a step, >= 1, each taken forward and backward: two queries.
        spread: the paper's sigma, the standard deviation of a pixel's move for a difference. Far less than half a
            grey level, 0.002, and a model that rounds its input to bytes answers the same on both sides.
        learning_rate: length of a step in the norm; by default eps / 10.
        generator: of the directions.
    Returns:
        (N, C, H, W), inside ball and box: the first iterate that fools the model, else the last; an image that is
        misclassified already stays.
    Note: the paper climbs the probability of a target class with sigma 0.001. Here the goal is any other class, and
        the margin, unlike a probability, does not round to 1 in float32.
    Source: Ilyas, Engstrom, Athalye, Lin, "Black-box Adversarial Attacks with Limited Queries and Information", ICML
        2018 (the NES estimate); momentum as in the authors' published code, limited-blackbox-attacks.
    """
    ball = norm_geometry(norm)
    length = eps / 10 if learning_rate is None else learning_rate

    def normal(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator, device=images.device, dtype=images.dtype)

    found = images.clone()
    standing = margins(model, images, labels).le(0).nonzero().squeeze(1)
    mean = torch.zeros_like(images)
    for _ in range((queries - 1) // (2 * pairs + 1)):
        if len(standing) == 0:
            break
        clean, now, truth = images[standing], found[standing], labels[standing]
        gradient = estimate_gradient(model, now, truth, normal, pairs=pairs, spread=spread)
        mean[standing] = _MOMENTUM * mean[standing] + (1 - _MOMENTUM) * gradient
        moved = now + length * ball.climbing_step(mean[standing], eps) - clean
        found[standing] = clean + ball.project_in_box(clean, moved, eps)
        standing = standing[margins(model, found[standing], truth) <= 0]
    return found
