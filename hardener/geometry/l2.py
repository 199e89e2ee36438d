"""The l2 ball: lengths are over all pixels and channels of an image."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-12


def project(delta: Tensor, eps: float) -> Tensor:
    """Return the point of the ball of radius `eps` >= 0 nearest to each (N, C, H, W) `delta`."""
    return delta * (eps / _lengths(delta).clamp_min(_TINY)).clamp_max(1.0)


def random_point(images: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw one point an image, uniform in the ball of radius `eps` around zero; shaped like `images`."""
    normal = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    radius = torch.rand(len(images), generator=generator, device=images.device, dtype=images.dtype)
    share = radius.pow(1 / images[0].numel()).view(-1, *[1] * (images.dim() - 1))
    return steepest(normal) * share * eps


def steepest(gradient: Tensor) -> Tensor:
    """Return the step of size 1 along which a linear function with this gradient rises most; 0 where it is 0."""
    peak = gradient.flatten(1).abs().amax(dim=1).view(-1, *[1] * (gradient.dim() - 1))
    scaled = gradient / peak.clamp_min(torch.finfo(gradient.dtype).tiny)  # a tiny gradient must not square to 0
    return scaled / _lengths(scaled).clamp_min(_TINY)


def size(delta: Tensor) -> Tensor:
    """Return the norm of each image's delta, (N,)."""
    lengths: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    return lengths


def _lengths(delta: Tensor) -> Tensor:
    return size(delta).view(-1, *[1] * (delta.dim() - 1))
