"""AugMix: chains of operations, mixed with the image that they started from."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from hardener.augmentation._draw import chosen, numbers, per_image
from hardener.augmentation._operations import Space, Span, apply
from hardener.config.section import Section

SPACE: Space = {
    "autocontrast": Span(),
    "equalize": Span(),
    "posterize": Span(4.5, 0.5),  # bits are rounded; the published code takes off whole ones only
    "rotate": Span(0.0, 30.0, signed=True),
    "solarize": Span(1.0, 0.0),
    "shear_x": Span(0.0, 0.3, signed=True),
    "shear_y": Span(0.0, 0.3, signed=True),
    "translate_x": Span(0.0, 1 / 3, signed=True),
    "translate_y": Span(0.0, 1 / 3, signed=True),
}
"""Without what the benchmark of corruptions does: brightness, contrast, colour and sharpness."""
WEAKEST, LARGEST = 0.1, 10.0
DEEPEST = 3
LEAST = 2.0**-24
"""The least number above 0 that is drawn."""


class Settings(Section):
    """`width` chains of up to three operations, each of a strength up to `severity` of 10."""

    width: PositiveInt = 3
    severity: Annotated[float, Field(ge=WEAKEST, le=LARGEST)] = 3.0


def augmix(images: Tensor, *, width: int, severity: float, generator: torch.Generator | None = None) -> Tensor:
    """Mix each image with a mixture of chains of operations that start from it.

    Args:
        images: (N, C, H, W) in [0, 1]; C is 1 or 3.
        width: chains, >= 1, of one to three operations each.
        severity: the largest strength, in [0.1, 10].
        generator: of the draws; None: the CPU's.
    Returns:
        (N, C, H, W) in [0, 1]; no host sync.
    Note: the consistency term of the paper's loss is none of this: a step costs what others do.
    Source: Hendrycks et al., "AugMix: A Simple Data Processing Method to Improve Robustness and Uncertainty", ICLR
        2020, Algorithm 1; strengths as in the published code.
    """
    count = len(images)
    drawn = numbers(width * count, generator).clamp(min=LEAST)  # one of 0 in all chains would leave 0 / 0
    shares = -(1 - drawn).log().view(width, count)  # Dirichlet(1, ..., 1), once divided
    shares = shares / shares.sum(dim=0)
    kept = numbers(count, generator)  # Beta(1, 1)
    mixed = torch.zeros_like(images)
    for share in shares:
        chain, depths = images, chosen(count, DEEPEST, generator)
        for depth in range(DEEPEST):
            at = (depths >= depth).nonzero().flatten()
            strengths = numbers(len(at), generator, WEAKEST, severity) / LARGEST
            there = at.to(images.device, non_blocking=True)
            changed = apply(chain[there], SPACE, strengths, generator)
            chain = chain.index_copy(0, there, changed.to(chain.dtype))
        mixed += per_image(share, images) * chain
    return torch.lerp(mixed, images, per_image(kept, images)).clamp(0.0, 1.0)
