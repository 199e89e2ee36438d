"""What the attacks share that see answers only: margins of many points, and a gradient estimated from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.losses.margin import margin

LARGEST_BATCH = 256
"""Points that go through the model at once, if the images are not more: memory does not grow with the queries."""

Draw = Callable[[tuple[int, ...]], Tensor]
"""A shape -> that many random directions."""


@torch.no_grad()
def margins(model: Classifier, points: Tensor, labels: Tensor) -> Tensor:
    """Return by how much another class leads at each point, (N,), in at least float32; > 0 where the point fools."""
    logits = model(points)
    return margin(logits if logits.dtype.itemsize >= 4 else logits.float(), labels)


@torch.no_grad()
def estimate_gradient(
    model: Classifier, images: Tensor, labels: Tensor, draw: Draw, *, pairs: int, spread: float
) -> Tensor:
    """Estimate the margin's gradient, (N, C, H, W), from differences along random directions and their opposites.

    The mean over directions u of (margin(x + spread u) - margin(x - spread u)) / (2 spread) u, points put back in
    the box first. It costs `2 pairs` queries an image, in batches of about `LARGEST_BATCH`.

    Args:
        images: (N, C, H, W) in [0, 1].
        draw: of directions with independent entries of mean 0 and variance 1.
        pairs: directions an image, >= 1.
        spread: length of an entry's step, a fraction of the pixel range.
    """
    count = len(images)
    at_once = max(1, LARGEST_BATCH // (2 * count))
    total = torch.zeros_like(images)
    for first in range(0, pairs, at_once):
        directions = draw((min(at_once, pairs - first), *images.shape))
        points = torch.stack([images + spread * directions, images - spread * directions]).clamp(0, 1)
        answers = margins(model, points.flatten(0, 2), labels.repeat(2 * len(directions)))
        up, down = answers.view(2, len(directions), count).to(images.dtype)
        total += torch.einsum("gn,gnchw->nchw", up - down, directions)
    return total / (2 * spread * pairs)
