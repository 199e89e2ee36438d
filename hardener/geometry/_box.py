"""The box [0, 1] that every image lives in."""

from __future__ import annotations

from torch import Tensor


def fit_box(images: Tensor, delta: Tensor) -> Tensor:
    """Shorten `delta`, pixel by pixel, until `images + delta` lies in [0, 1]. Never lengthens it."""
    return (images + delta).clamp(0, 1) - images
