"""A rectangle of some images replaced by noise."""

from __future__ import annotations

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from hardener.augmentation._draw import inside, log_uniform, numbers, rectangles
from hardener.config.section import Section, Share


class Settings(Section):
    """`chance` of an image. The rectangle has from `least` to `most` of the area, `ratio` as `crop` has it."""

    chance: Share = 0.25
    least: Annotated[float, Field(gt=0, le=1)] = 0.02
    most: Annotated[float, Field(gt=0, le=1)] = 1 / 3
    ratio: Annotated[float, Field(ge=1)] = 10 / 3

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least={self.least:g} is larger than most={self.most:g}: exchange them")
        return self


def erase(
    images: Tensor, *, chance: float, least: float, most: float, ratio: float, generator: torch.Generator | None = None
) -> Tensor:
    """Replace a random rectangle of some images by uniform noise.

    Args:
        images: (N, C, H, W) in [0, 1].
        chance: of each image, in [0, 1].
        least, most: shares of the image's area, in (0, 1].
        ratio: the largest ratio of width and height in pixels, either way, >= 1.
        generator: of the draws; None: the CPU's, and the device's for the noise.
    Returns:
        (N, C, H, W); no host sync.
    Source: Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, Algorithm 1, with uniform noise (RE-R).
    """
    at = (numbers(len(images), generator) < chance).nonzero().flatten()
    area = numbers(len(at), generator, least, most)
    centres, sizes = rectangles(area, log_uniform(len(at), ratio, generator), images, generator)
    if not len(at):
        return images
    at = at.to(images.device, non_blocking=True)
    hit = images[at]
    drawn_on = images.device if generator is None else generator.device
    noise = torch.rand(hit.shape, generator=generator, device=drawn_on, dtype=images.dtype).to(images.device)
    erased = images.clone()
    erased[at] = torch.where(inside(centres, sizes, hit), noise, hit)
    return erased
