"""Brightness, contrast, saturation and hue changed a little."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale

from hardener.augmentation._draw import numbers, per_image
from hardener.config.section import Section, Share


class Settings(Section):
    """How far each may go: `brightness`, `contrast` and `saturation` a factor from 1 - value to 1 + value.

    `hue` turns by up to this share of the colour circle.
    """

    brightness: Share = 0.2
    contrast: Share = 0.2
    saturation: Share = 0.2
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0


def jitter(
    images: Tensor,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, in this order.

    Args:
        images: (N, C, H, W) in [0, 1]; C is 1 or 3. Of one channel saturation and hue are none.
        brightness, contrast, saturation: in [0, 1]; the factor is uniform from 1 - value to 1 + value.
        hue: in [0, 0.5]; the turn is uniform from -hue to hue, 1 being the whole circle.
        generator: of the draws; None: the CPU's.
    Returns:
        (N, C, H, W) in [0, 1]; no host sync.
    Note: hue is turned in YIQ, by a matrix for each image, and not in HSV, which takes six times as long.
    Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012, section
        4.1, for the idea; operations and ranges as in torchvision's ColorJitter.
    """
    factors = (1 + numbers(3 * len(images), generator, -1.0, 1.0).view(3, -1) * torch.tensor(
        [[brightness], [contrast], [saturation]]
    )).unbind()  # fmt: skip
    turns = numbers(len(images), generator, -hue, hue)
    if brightness:
        images = (images * per_image(factors[0], images)).clamp(0.0, 1.0)
    if contrast:
        mean = rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
        images = torch.lerp(mean, images, per_image(factors[1], images)).clamp(0.0, 1.0)
    if images.shape[1] == 1:
        return images
    if saturation:
        images = torch.lerp(rgb_to_grayscale(images), images, per_image(factors[2], images)).clamp(0.0, 1.0)
    return _turned(images, turns) if hue else images


_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def _turned(images: Tensor, turns: Tensor) -> Tensor:
    """Turn each image's colours by its share of the circle, at the same luma."""
    cos, sin = torch.cos(2 * torch.pi * turns), torch.sin(2 * torch.pi * turns)
    rotation = torch.zeros(len(turns), 3, 3)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = cos
    rotation[:, 1, 2], rotation[:, 2, 1] = -sin, sin
    matrices = (torch.linalg.inv(_YIQ) @ rotation @ _YIQ).to(images.device, images.dtype, non_blocking=True)
    return torch.einsum("nij,njhw->nihw", matrices, images).clamp(0.0, 1.0)
