"""How many rows keep a processor busy."""

from __future__ import annotations

from torch import Tensor

FILLED = 32 * 3 * 32 * 32
"""Values in a batch that keep a processor busy: as many as 32 images of CIFAR-10's size hold."""


def times_at_once(images: Tensor, most: int) -> int:
    """Return how often a batch of so few images (N, C, H, W) goes at once, in [1, `most`], to fill a processor."""
    return min(max(FILLED // max(images.numel(), 1), 1), most)
