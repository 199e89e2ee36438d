"""Draws for each image of a batch. Small ones are made on the CPU, so that no device is waited for."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def numbers(count: int, generator: torch.Generator | None, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return (count,) numbers, uniform in [low, high), on the CPU."""
    return low + (high - low) * _rand((count,), generator).cpu()


def chosen(count: int, of: int, generator: torch.Generator | None) -> Tensor:
    """Return (count,) whole numbers below `of`, on the CPU."""
    device = torch.device("cpu") if generator is None else generator.device
    return torch.randint(of, (count,), generator=generator, device=device).cpu()


def noise_like(images: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return standard normal numbers in the shape of images, on their device."""
    device = images.device if generator is None else generator.device
    return torch.randn(images.shape, generator=generator, device=device, dtype=images.dtype).to(images.device)


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """Return (N,) values beside the images: (N, 1, 1, 1), on their device."""
    return values.to(images.device, images.dtype, non_blocking=True).view(-1, 1, 1, 1)


def rectangles(area: Tensor, ratio: Tensor, images: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Draw a rectangle inside each image.

    Args:
        area: (N,), shares of the image's area, in (0, 1].
        ratio: (N,), width by height, in pixels, > 0; a side that would be longer than the image is as long as it.
    Returns:
        Centres and sizes, (N, 2) each as (x, y), shares of width and height, on the CPU.
    """
    height, width = images.shape[2:]
    pixels = area * height * width
    sizes = torch.stack([(pixels * ratio).sqrt() / width, (pixels / ratio).sqrt() / height], dim=1).clamp(max=1.0)
    centres = sizes / 2 + _rand((len(area), 2), generator).cpu() * (1 - sizes)
    return centres, sizes


def inside(centres: Tensor, sizes: Tensor, images: Tensor) -> Tensor:
    """Return (N, 1, H, W), true where a pixel's middle lies in its image's rectangle, as `rectangles` gives it."""
    device, (height, width) = images.device, images.shape[2:]
    low, high = (edge.to(device, non_blocking=True) for edge in (centres - sizes / 2, centres + sizes / 2))
    across = (torch.arange(width, device=device) + 0.5) / width
    down = (torch.arange(height, device=device) + 0.5) / height
    columns = (across >= low[:, :1]) & (across < high[:, :1])
    rows = (down >= low[:, 1:]) & (down < high[:, 1:])
    return rows[:, None, :, None] & columns[:, None, None, :]


def log_uniform(count: int, most: float, generator: torch.Generator | None) -> Tensor:
    """Return (count,) numbers from 1 / most to most, whose logarithms are uniform, on the CPU."""
    return numbers(count, generator, -math.log(most), math.log(most)).exp()


def _rand(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    device = torch.device("cpu") if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device)
