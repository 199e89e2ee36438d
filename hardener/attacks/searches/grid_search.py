"""Every point of a grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks.searches._worst import Worst
from hardener.errors import HardenerError
from hardener.threats import Change


def grid_search(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    change: Change,
    queries: int = 775,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ask about every point of a grid over the ranges, ends and middle included, until the image falls.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; it need not be differentiable.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        change: what a point does to an image; one with `grid_weights`.
        queries: points of the grid at most, >= 1; each value gets an odd number of them, by its weight.
        generator: of random draws; none are made.
    Returns:
        (N, P) in [0, 1]: the point at which another class leads most, or lacks least.
    Raises:
        HardenerError: the change has too many values for a grid.
    Source: Engstrom et al., "Exploring the Landscape of Spatial Robustness", ICML 2019, section 3.2 (grid search).
    """
    if not change.grid_weights:
        raise HardenerError(f"a grid over the ranges of {type(change).__name__.lower()} is too coarse: use box-search.")
    worst = Worst(model, images, labels, change)
    for point in grid(change.grid_weights, queries).to(images.device):
        where = worst.standing()
        if len(where) == 0:
            break
        worst.offer(where, point.expand(len(where), -1))
    return worst.points


def grid(weights: tuple[float, ...], queries: int) -> Tensor:
    """Return at most `queries` points, (Q, P): the product of evenly spread values, an odd number each."""
    scale = (queries / math.prod(weights)) ** (1 / len(weights)) + 1e-9
    counts = [min(max(int(scale * weight), 1), queries) for weight in weights]
    odd = [count - 1 + count % 2 for count in counts]
    axes = [torch.arange(count) / (count - 1) if count > 1 else torch.tensor([0.5]) for count in odd]
    return torch.cartesian_prod(*axes).view(-1, len(weights))
