"""What the minimum-norm attacks share."""

from __future__ import annotations

from torch import Tensor


def within_box(images: Tensor, gradient: Tensor) -> Tensor:
    """Drop the entries of a gradient along which a pixel at its border would leave the box, (N, C, H, W) both.

    What is left measures how much a small step can do that stays inside.
    """
    leaves = ((images <= 0) & (gradient < 0)) | ((images >= 1) & (gradient > 0))
    return gradient.masked_fill(leaves, 0)
