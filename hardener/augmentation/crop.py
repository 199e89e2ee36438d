"""A part of each image, brought to the image's size."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from hardener.augmentation._draw import log_uniform, numbers, rectangles
from hardener.augmentation._warp import zoom
from hardener.config.section import Section


class Settings(Section):
    """`least`: the smallest share of the area that is kept. `ratio`: how much wider or higher than square at most."""

    least: Annotated[float, Field(gt=0, le=1)] = 0.35
    ratio: Annotated[float, Field(ge=1)] = 4 / 3


def crop(images: Tensor, *, least: float, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Cut a random rectangle out of each image and bring it to the image's size, bilinear.

    Args:
        images: (N, C, H, W), floating point.
        least: the smallest share of the area, in (0, 1]; shares are uniform from there to 1.
        ratio: the largest ratio of width and height in pixels, either way, >= 1.
        generator: of the draws; None: the CPU's.
    Returns:
        (N, C, H, W); no host sync.
    Note: a rectangle that is longer than the image is cut to it, where the source draws again.
    Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 6.
    """
    area = numbers(len(images), generator, least, 1.0)
    centres, sizes = rectangles(area, log_uniform(len(images), ratio, generator), images, generator)
    return zoom(images, centres, sizes)
