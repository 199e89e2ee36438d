"""Gaussian noise on a square patch of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.augmentation._draw import inside, noise_like, numbers, per_image
from hardener.config.section import PatchNoise


class Settings(PatchNoise):
    """`chance` of an image. Noise is of up to `sigma`, on a patch of from `least` to all of the sides' length."""


def patch_gaussian(
    images: Tensor, *, chance: float, sigma: float, least: float, generator: torch.Generator | None = None
) -> Tensor:
    """Add Gaussian noise to a random patch of some images; arguments, result and source as of `noisy_patches`."""
    return noisy_patches(images, chance=chance, sigma=sigma, least=least, generator=generator)[0]


def noisy_patches(
    images: Tensor, *, chance: float, sigma: float, least: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Add Gaussian noise to a random patch of some images, and say how much of each is gone.

    Args:
        images: (N, C, H, W) in [0, 1].
        chance: of each image, in [0, 1].
        sigma: largest std of the noise, a fraction of the pixel range; an image's own is uniform in [0, sigma].
        least: smallest side of the patch, a share of the image's sides; an image's own is uniform in [least, 1].
        generator: of the draws; None: the CPU's, and the device's for the noise.
    Returns:
        (N, C, H, W) in [0, 1], and the severity of each, (N,) in [0, 1] on the images' device: its own sigma as a
        share of the largest, times the share of its area under the patch. No host sync.
    Source: Lopes et al., "Improving Robustness Without Sacrificing Accuracy with Patch Gaussian Augmentation", arXiv
        1906.02611, section 3; there the patch may stick out of the image, and its side is fixed or uniform.
    """
    count = len(images)
    strength = numbers(count, generator) * (numbers(count, generator) < chance)
    side = numbers(count, generator, least, 1.0)
    place = torch.stack([numbers(count, generator), numbers(count, generator)], dim=1)
    severity = (strength * side.square()).to(images.device, non_blocking=True)
    at = strength.nonzero().flatten()
    there = at.to(images.device, non_blocking=True)
    hit, sizes = images[there], side[at, None].expand(-1, 2)
    mask = inside(sizes / 2 + place[at] * (1 - sizes), sizes, hit)
    noise = noise_like(hit, generator) * per_image(sigma * strength[at], hit)
    return images.index_copy(0, there, torch.where(mask, hit + noise, hit).clamp(0.0, 1.0)), severity
