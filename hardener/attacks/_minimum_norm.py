"""What the minimum-norm attacks share."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.losses.margin import margin

SLACK = 1e-4
"""An image counts as misclassified once it lies past the boundary by about this share of its distance: nearer, the
rounding of another batch may put it back."""


def within_box(images: Tensor, gradient: Tensor) -> Tensor:
    """Drop the entries of a gradient along which a pixel at its border would leave the box, (N, C, H, W) both.

    What is left measures how much a small step can do that stays inside.
    """
    leaves = ((images <= 0) & (gradient < 0)) | ((images >= 1) & (gradient > 0))
    return gradient.masked_fill(leaves, 0)


@torch.no_grad()
def shorten(model: Classifier, images: Tensor, found: Tensor, labels: Tensor, *, halvings: int) -> Tensor:
    """Go back from misclassified images towards the images themselves, by bisection, as long as they stay so.

    Args:
        images: (N, C, H, W) in [0, 1], classified as `labels`.
        found: (N, C, H, W) in [0, 1], misclassified.
        halvings: how often; the result lies at most 2^-halvings of the way past a boundary.
    Returns:
        (N, C, H, W), between the two, and misclassified.
    """
    delta = found - images
    past = -SLACK * margin(model(images), labels)
    low = torch.zeros(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)
    high = torch.ones_like(low)
    for _ in range(halvings):
        middle = (low + high) / 2
        fooled = (margin(model(images + middle * delta), labels) > past).view(-1, 1, 1, 1)
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
    return torch.where(high < 1, images + high * delta, found)
