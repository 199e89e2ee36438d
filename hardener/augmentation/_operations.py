"""The operations of TrivialAugment, RandAugment and AugMix, each image with one of its own.

torchvision and kornia have them for a batch that shares one operation, and its strength. Here images are grouped by
their operation, which is drawn on the CPU: each image goes through no operation but its own, and no device is waited
for. Shears are about the middle of an image. The published codes and torchvision shear about a corner, which moves
twice as much of it out of view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.transforms.v2.functional import autocontrast, equalize, rgb_to_grayscale

from hardener.augmentation._draw import chosen, numbers, per_image
from hardener.augmentation._warp import warp


@dataclass(frozen=True)
class Span:
    """From which value an operation goes to which as its strength goes from 0 to 1; `signed`: either way."""

    weakest: float = 0.0
    strongest: float = 0.0
    signed: bool = False


Space = Mapping[str, Span]
"""Operation -> its span. Shears are slopes, translations shares of the side, rotations turns of a degree; blends are
distances of the factor from 1; posterize counts bits, solarize is the value from which pixels are inverted."""


def apply(images: Tensor, space: Space, strengths: Tensor, generator: torch.Generator | None) -> Tensor:
    """Let each image through one operation of the space, all equally likely.

    Args:
        images: (N, C, H, W) in [0, 1]; C is 1 or 3.
        strengths: (N,) in [0, 1], on the CPU.
        generator: of the draws; None: the CPU's.
    Returns:
        (N, C, H, W) in [0, 1]; no host sync.
    """
    names = [name for name in space if name != "color" or images.shape[1] == 3]
    count = len(images)
    ours = chosen(count, len(names), generator)
    signs = numbers(count, generator).lt(0.5).float() * 2 - 1
    changed = images.clone()
    moved, maps = [], []
    for place, name in enumerate(names):
        at = (ours == place).nonzero().flatten()
        if not len(at) or name == "identity":
            continue
        span = space[name]
        values = span.weakest + (span.strongest - span.weakest) * strengths[at]
        if span.signed:
            values = values * signs[at]
        if name in _MAPS:
            moved.append(at)
            maps.append(_MAPS[name](values, images.shape[2], images.shape[3]))
        else:
            there = at.to(images.device, non_blocking=True)
            part = images[there]
            changed[there] = _PIXELS[name](part, per_image(values, part))
    if moved:  # all that only moves pixels, at once
        there = torch.cat(moved).to(images.device, non_blocking=True)
        changed[there] = warp(images[there], torch.cat(maps))
    return changed


def _map(count: int, **entries: Tensor) -> Tensor:
    """Return the identity with some of its entries changed; their names: xx xy xt, yx yy yt."""
    maps = torch.eye(2, 3).repeat(count, 1, 1)
    for name, value in entries.items():
        maps[:, "xy".index(name[0]), "xyt".index(name[1])] = value
    return maps


def _rotation(degrees: Tensor, height: int, width: int) -> Tensor:
    angle = torch.deg2rad(degrees)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return _map(len(degrees), xx=cos, xy=-sin, yx=sin, yy=cos)


_MAPS: Mapping[str, Callable[[Tensor, int, int], Tensor]] = {
    "shear_x": lambda values, height, width: _map(len(values), xy=values),
    "shear_y": lambda values, height, width: _map(len(values), yx=values),
    "translate_x": lambda values, height, width: _map(len(values), xt=values * width),
    "translate_y": lambda values, height, width: _map(len(values), yt=values * height),
    "rotate": _rotation,
}


def _blend(degenerate: Tensor, images: Tensor, distance: Tensor) -> Tensor:
    return torch.lerp(degenerate, images, 1 + distance).clamp(0.0, 1.0)


def _sharpness(images: Tensor, distance: Tensor) -> Tensor:
    channels = images.shape[1]
    kernel = torch.full((channels, 1, 3, 3), 1 / 13, device=images.device, dtype=images.dtype)
    kernel[:, :, 1, 1] = 5 / 13
    smooth = images.clone()
    if min(images.shape[2:]) > 2:
        smooth[..., 1:-1, 1:-1] = conv2d(images, kernel, groups=channels)
    return _blend(smooth, images, distance)


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    levels = torch.exp2(bits.round())
    return torch.minimum((images * levels).floor(), levels - 1) / levels


_PIXELS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda images, distance: _blend(torch.zeros_like(images), images, distance),
    "color": lambda images, distance: _blend(rgb_to_grayscale(images, 3), images, distance),
    "contrast": lambda images, distance: _blend(
        rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True).expand_as(images), images, distance
    ),
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": lambda images, threshold: torch.where(images >= threshold, 1 - images, images),
    "autocontrast": lambda images, _: autocontrast(images),
    "equalize": lambda images, _: equalize(images),
}
