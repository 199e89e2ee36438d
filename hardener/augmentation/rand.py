"""RandAugment: a few operations of one strength for each image."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from hardener.augmentation._operations import Space, Span, apply
from hardener.config.section import Section

SPACE: Space = {
    "identity": Span(),
    "shear_x": Span(0.0, 0.3, signed=True),
    "shear_y": Span(0.0, 0.3, signed=True),
    "translate_x": Span(0.0, 150 / 331, signed=True),
    "translate_y": Span(0.0, 150 / 331, signed=True),
    "rotate": Span(0.0, 30.0, signed=True),
    "brightness": Span(0.0, 0.9, signed=True),
    "color": Span(0.0, 0.9, signed=True),
    "contrast": Span(0.0, 0.9, signed=True),
    "sharpness": Span(0.0, 0.9, signed=True),
    "posterize": Span(8.0, 4.0),
    "solarize": Span(1.0, 0.0),
    "autocontrast": Span(),
    "equalize": Span(),
}
LARGEST = 30


class Settings(Section):
    """`operations` one after the other, each of the strength `magnitude` of 30."""

    operations: PositiveInt = 2
    magnitude: Annotated[float, Field(ge=0, le=LARGEST)] = 9.0


def rand_augment(
    images: Tensor, *, operations: int, magnitude: float, generator: torch.Generator | None = None
) -> Tensor:
    """Let each image through operations of its own, drawn evenly, all of one strength.

    Args:
        images: (N, C, H, W) in [0, 1]; C is 1 or 3. Gray images have no operation on colour.
        operations: >= 1.
        magnitude: in [0, 30].
        generator: of the draws; None: the CPU's.
    Returns:
        (N, C, H, W) in [0, 1]; no host sync.
    Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", NeurIPS
        2020, section 3; spans as in torchvision's RandAugment.
    """
    for _ in range(operations):
        images = apply(images, SPACE, torch.full((len(images),), magnitude / LARGEST), generator)
    return images
