"""The nearest point of a hyperplane that is still an image."""

from __future__ import annotations

import torch
from torch import Tensor

_PIXELS = (1, 2, 3)
_HUGE = 1e30


def onto_hyperplane(images: Tensor, normal: Tensor, rise: Tensor, *, norm: str) -> Tensor:
    """Return the smallest delta with <normal, delta> = rise and images + delta in [0, 1].

    Every pixel moves the way that raises the product, at the same speed (`linf`) or at a speed proportional to its
    weight (`l2`), until it meets the box. The product rises with the distance along a concave broken line; Newton's
    method from 0 climbs that line from below, each pass adds the pixels that have met the box by then, and when none
    is added the distance is exact. A handful of passes do, where sorting all pixels by when they meet the box, as
    in the paper, costs several times as much and finds the same point.

    Args:
        images: (N, C, H, W) in [0, 1].
        normal: (N, C, H, W).
        rise: (N,), of either sign.
        norm: `linf` or `l2`, what is smallest.
    Returns:
        (N, C, H, W). Where no image lies on the hyperplane, the corner of the box that comes nearest to it; 0 where
        the normal is 0.
    Source: Croce and Hein, "Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary Attack", ICML 2020
        (the projection on a hyperplane with box constraints).
    """
    peak = normal.abs().amax(dim=_PIXELS, keepdim=True).clamp_min(torch.finfo(normal.dtype).tiny)
    goal = rise.view(-1, 1, 1, 1) / peak
    upwards = normal / torch.where(goal < 0, -peak, peak)  # a tiny gradient must not square to 0
    weight, goal = upwards.abs(), goal.abs().clamp_max(_HUGE)
    room = torch.where(upwards > 0, 1 - images, images)
    product = weight * weight if norm == "l2" else weight
    length = (goal / product.sum(dim=_PIXELS, keepdim=True).clamp_min(1 / _HUGE)).clamp_max(_HUGE)
    met = torch.zeros_like(weight, dtype=torch.bool)
    while True:
        way = weight * length if norm == "l2" else length
        late = (way >= room) & ~met
        if not bool(late.any()):
            return torch.where(met, room, way) * upwards.sign()
        met |= late
        left = goal - torch.where(met, weight * room, 0.0).sum(dim=_PIXELS, keepdim=True)
        slope = torch.where(met, 0.0, product).sum(dim=_PIXELS, keepdim=True)
        length = (left / slope.clamp_min(1 / _HUGE)).clamp(0, _HUGE)
