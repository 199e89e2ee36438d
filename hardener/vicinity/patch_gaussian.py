"""Gaussian noise on a patch, and a label that is the less certain the more of the image is gone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from hardener.augmentation import patch_gaussian
from hardener.config.section import Share


class Settings(patch_gaussian.Settings):
    """Noise as of `augment.patch_gaussian`. `confidence`: the label's where all of the image has the strongest noise.

    It falls from 1 with the `power` of the severity: the noise's strength times the patch's share of the area.
    """

    confidence: Share = 0.8
    power: Annotated[float, Field(gt=0)] = 1.0


def noisy_patch(
    images: Tensor,
    soft_labels: Tensor,
    *,
    chance: float,
    sigma: float,
    least: float,
    confidence: float,
    power: float,
) -> tuple[Tensor, Tensor]:
    """Add noise to a random patch of some images, and move as much of their labels to all classes evenly.

    Args:
        images: (N, C, H, W) in [0, 1].
        soft_labels: (N, K), rows sum to 1.
        chance, sigma, least: as of `augmentation.patch_gaussian.noisy_patches`.
        confidence: c in [0, 1], what is left of a label at severity s = 1; at 1 labels stay as they are.
        power: k > 0; 1 - (1 - c) s^k of a label is left.
    Returns:
        Images in [0, 1], and labels whose rows sum to 1.
    Source: Siedel et al., "Combined Image Data Augmentations diminish the benefits of Adaptive Label Smoothing", arXiv
        2507.16427, and Liu et al., "Soft Augmentation for Image Classification", CVPR 2023, for the law; severity is
        ours, and so are the defaults.
    """
    noisy, severity = patch_gaussian.noisy_patches(images, chance=chance, sigma=sigma, least=least)
    moved = ((1 - confidence) * severity.pow(power)).unsqueeze(1).to(soft_labels.dtype)
    return noisy, (1 - moved) * soft_labels + moved / soft_labels.shape[1]
