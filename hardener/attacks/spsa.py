"""SPSA: Adam on the margin, with gradients from random differences."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._queries import estimate_gradient, margins
from hardener.geometry import NORMS, norm_geometry

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8  # of Adam, as everywhere


def spsa(
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
    """Climb the margin with Adam, on gradients that are estimated from the model's answers alone.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; it need not be differentiable.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        queries: forward passes an image at most; an image leaves as soon as it falls.
        pairs: random directions a step, >= 1, each of which costs two queries.
        spread: the paper's delta, how far every pixel moves for a difference. Less than half a grey level, 0.002, and
            a model that rounds its input to bytes answers the same on both sides.
        learning_rate: Adam's, about the way of each pixel in a step; by default eps / 4 for linf, and half a pixel's
            part of the radius, eps / sqrt(C H W), for l2. For l1 the length of a step, by default eps / 4: it follows
            the mean of the gradients and not its share of their scale, which would move all values alike.
        generator: of the directions, whose entries are -1 or 1 with equal chance.
    Returns:
        (N, C, H, W), inside ball and box: the first iterate that fools the model, else the last; an image that is
        misclassified already stays.
    Note: the paper's budgets go up to 8192 points in each of 100 steps.
    Source: Uesato, O'Donoghue, van den Oord, Kohli, "Adversarial Risk and the Dangers of Evaluating Against Weak
        Attacks", ICML 2018 (SPSA).
    """
    ball = norm_geometry(norm)
    ends_alike = math.isinf(NORMS[norm].order) or NORMS[norm].is_sparse
    if learning_rate is None:
        learning_rate = eps / 4 if ends_alike else eps / (2 * NORMS[norm].diameter(images[0].numel()))

    def signs(shape: tuple[int, ...]) -> Tensor:
        coins = torch.randint(0, 2, shape, generator=generator, device=images.device)
        return (2 * coins - 1).to(images.dtype)

    found = images.clone()
    standing = margins(model, images, labels).le(0).nonzero().squeeze(1)
    mean, square = torch.zeros_like(images), torch.zeros_like(images)
    for step in range(1, 1 + (queries - 1) // (2 * pairs + 1)):
        if len(standing) == 0:
            break
        clean, now, truth = images[standing], found[standing], labels[standing]
        gradient = estimate_gradient(model, now, truth, signs, pairs=pairs, spread=spread)
        mean[standing] = _BETA1 * mean[standing] + (1 - _BETA1) * gradient
        square[standing] = _BETA2 * square[standing] + (1 - _BETA2) * gradient.square()
        rise = mean[standing] / (1 - _BETA1**step)
        scale = (square[standing] / (1 - _BETA2**step)).sqrt()
        way = learning_rate * rise / (scale + _TINY)
        if NORMS[norm].is_sparse:
            way = learning_rate * ball.climbing_step(rise, eps)
        moved = now + way - clean
        found[standing] = clean + ball.project_in_box(clean, moved, eps)
        standing = standing[margins(model, found[standing], truth) <= 0]
    return found
