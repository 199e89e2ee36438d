"""The nearest point of a hyperplane that is still an image."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.geometry import NORMS

_PIXELS = (1, 2, 3)
_HUGE = 1e30


def onto_hyperplane(images: Tensor, normal: Tensor, rise: Tensor, *, norm: str) -> Tensor:
    """Return the smallest delta with <normal, delta> = rise and images + delta in [0, 1].

    Every pixel moves the way that raises the product, at a speed of its weight to the power q - 1, where q is the
    dual order: the same speed in `linf`, the weight itself in `l2`, until it meets the box. The product rises with the
    distance along a concave broken line; Newton's method from 0 climbs that line from below, each pass adds the pixels
    that have met the box by then, and when none is added the distance is exact. A handful of passes do, where sorting
    all pixels by when they meet the box, as in the paper, costs several times as much and finds the same point. In
    `l1` the pixels move one after the other, the heaviest first, each until it meets the box.

    Args:
        images: (N, C, H, W) in [0, 1].
        normal: (N, C, H, W).
        rise: (N,), of either sign.
        norm: a name in NORMS, what is smallest.
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
    if NORMS[norm].is_sparse:
        return _heaviest_first(weight, room, goal) * upwards.sign()
    speed = weight ** (NORMS[norm].dual_order - 1)
    product = weight * speed
    length = (goal / product.sum(dim=_PIXELS, keepdim=True).clamp_min(1 / _HUGE)).clamp_max(_HUGE)
    met = torch.zeros_like(weight, dtype=torch.bool)
    while True:
        way = speed * length
        late = (way >= room) & ~met
        if not bool(late.any()):
            return torch.where(met, room, way) * upwards.sign()
        met |= late
        left = goal - torch.where(met, weight * room, 0.0).sum(dim=_PIXELS, keepdim=True)
        slope = torch.where(met, 0.0, product).sum(dim=_PIXELS, keepdim=True)
        length = (left / slope.clamp_min(1 / _HUGE)).clamp(0, _HUGE)


def _heaviest_first(weight: Tensor, room: Tensor, goal: Tensor) -> Tensor:
    """Return how far each pixel moves, (N, C, H, W), in [0, room], so that the sum of weight * way is the goal."""
    falling, order = weight.flatten(1).sort(dim=1, descending=True)
    space = room.flatten(1).gather(1, order)
    gain = falling * space
    left = goal.flatten(1) - (gain.cumsum(dim=1) - gain)
    way = (left / falling.clamp_min(1 / _HUGE)).clamp_min(0).minimum(space)
    return torch.zeros_like(space).scatter(1, order, way).view_as(weight)
