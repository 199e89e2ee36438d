"""The l_inf ball."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.geometry import Norm


class _Linf(Norm):
    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        return delta.clamp(-eps, eps)  # type: ignore[arg-type]  # torch's stubs know either, not both

    def random_point(self, images: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
        uniform = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype)
        return (2 * uniform - 1) * eps

    def steepest(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def size(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().amax(dim=1)


LINF = _Linf()
