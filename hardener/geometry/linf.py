"""The l_inf ball."""

from __future__ import annotations

import torch
from torch import Tensor


def project(delta: Tensor, eps: float) -> Tensor:
    """Return the point of the ball of radius `eps` >= 0 nearest to each (N, C, H, W) `delta`."""
    return delta.clamp(-eps, eps)


def random_point(images: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw one point an image, uniform in the ball of radius `eps` around zero; shaped like `images`."""
    uniform = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    return (2 * uniform - 1) * eps


def steepest(gradient: Tensor) -> Tensor:
    """Return the step of size 1 along which a linear function with this gradient rises most; 0 where it is 0."""
    return gradient.sign()


def size(delta: Tensor) -> Tensor:
    """Return the norm of each image's delta, (N,)."""
    return delta.flatten(1).abs().amax(dim=1)
