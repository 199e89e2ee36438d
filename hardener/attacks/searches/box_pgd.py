"""Up the gradient in a threat's ranges."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks.searches._worst import Worst
from hardener.losses.margin import margin
from hardener.threats import Change


def box_pgd(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    change: Change,
    steps: int = 20,
    step_size: float = 0.1,
    starts: int = 10,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb the margin from the worst of a few random points, by signed steps that shorten, until the image falls.

    What no gradient moves, such as the place of a patch, is drawn anew after each step, and kept where it is worse.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        change: what a point does to an image; differentiable in the point.
        steps: >= 1, each a pass with a gradient.
        step_size: of the first, a share of the ranges; it shrinks to a tenth, evenly.
        starts: random points, >= 1.
        generator: of the points.
    Returns:
        (N, P) in [0, 1]: the point at which another class leads most, or lacks least.
    Source: Engstrom et al., "Exploring the Landscape of Spatial Robustness", ICML 2019, sections 3.2 and 4 (first-order
        method, worst of k).
    """
    worst = Worst(model, images, labels, change)
    for _ in range(starts):
        where = worst.standing()
        if len(where):
            worst.offer(where, change.random_points(images[where], generator))
    points = worst.points.clone()
    for step in range(steps):
        where = worst.standing()
        if len(where) == 0:
            break
        length = step_size * (1 - 0.9 * step / max(steps - 1, 1))
        gradient = _gradient(model, images[where], labels[where], change, points[where])
        points[where] = (points[where] + length * gradient.sign()).clamp(0, 1)
        worst.offer(where, points[where])
        drawn = change.jump(points[where], images[where], generator)
        moved = drawn.ne(points[where]).any(dim=1)
        if moved.any():
            taken = worst.offer(where[moved], drawn[moved])
            points[where[moved][taken]] = drawn[moved][taken]
    return worst.points


def _gradient(model: Classifier, images: Tensor, labels: Tensor, change: Change, points: Tensor) -> Tensor:
    """Return the margin's gradient with respect to the points, (N, P)."""
    inputs = points.detach().requires_grad_()
    with torch.enable_grad():
        value = margin(model(change.apply(images, inputs)).float(), labels).sum()
        if not value.requires_grad:
            return torch.zeros_like(points)
        (gradient,) = torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)
    return gradient.nan_to_num()
