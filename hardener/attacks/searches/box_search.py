"""Random points, then ever nearer to the worst of them."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks.searches._worst import Worst
from hardener.threats import Change

_FIRST, _LAST = 0.3, 0.02


def box_search(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    change: Change,
    queries: int = 200,
    explore: float = 0.4,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ask about random points, then about points near the worst so far, each image on its own, until it falls.

    A step's length is a share of the ranges. It shrinks from 0.3 to 0.02, geometrically.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; it need not be differentiable.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        change: what a point does to an image, and what lies near it.
        queries: points an image at most, >= 1.
        explore: the share of them that is drawn from the whole box, in [0, 1]; at least one is.
        generator: of the points.
    Returns:
        (N, P) in [0, 1]: the point at which another class leads most, or lacks least.
    Source: random search with shrinking steps, Rastrigin, "The convergence of the random search method in the extremal
        control of a many parameter system", Automation and Remote Control 24, 1963; the schedule is ours.
    """
    worst = Worst(model, images, labels, change)
    exploring = max(round(explore * queries), 1)
    for query in range(queries):
        where = worst.standing()
        if len(where) == 0:
            break
        if query < exploring:
            points = change.random_points(images[where], generator)
        else:
            done = (query - exploring) / max(queries - exploring, 1)
            share = _FIRST * (_LAST / _FIRST) ** done
            points = change.neighbours(worst.points[where], images[where], share=share, generator=generator)
        worst.offer(where, points)
    return worst.points
