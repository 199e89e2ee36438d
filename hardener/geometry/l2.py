"""The l2 ball: lengths are over all pixels and channels of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.geometry import Norm

_TINY = 1e-12


class _L2(Norm):
    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        return delta * (eps / self._lengths(delta).clamp_min(_TINY)).clamp_max(1.0)

    def random_point(self, images: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
        normal = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
        radius = torch.rand(len(images), generator=generator, device=images.device, dtype=images.dtype)
        share = radius.pow(1 / images[0].numel()).view(-1, *[1] * (images.dim() - 1))
        return self.steepest(normal) * share * eps

    def steepest(self, gradient: Tensor) -> Tensor:
        peak = gradient.flatten(1).abs().amax(dim=1).view(-1, *[1] * (gradient.dim() - 1))
        scaled = gradient / peak.clamp_min(torch.finfo(gradient.dtype).tiny)  # a tiny gradient must not square to 0
        return scaled / self._lengths(scaled).clamp_min(_TINY)

    def size(self, delta: Tensor) -> Tensor:
        lengths: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return lengths

    def _lengths(self, delta: Tensor) -> Tensor:
        return self.size(delta).view(-1, *[1] * (delta.dim() - 1))


L2 = _L2()
