"""Gaussian noise on a patch, and a label that is the less certain the more of the image is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hardener.config.section import PatchNoise, Share

if TYPE_CHECKING:  # a recipe that names this section is read without torch
    from torch import Tensor


class Settings(PatchNoise):
    """Noise as of `augment.patch_gaussian`. `confidence`: of the class, where all of the image has the strongest noise.

    It falls from 1 with the `power` of the severity: the noise's strength times the patch's share of the area. The
    source has sigma=1, chance=1, confidence=0.3 and power=2.
    """

    confidence: Share = 0.8
    power: Annotated[float, Field(gt=0)] = 1.0


@dataclass(frozen=True)
class NoisyPatch:
    """`noisy_patch` with its settings, which also says what it leaves of labels in the mean."""

    chance: float
    sigma: float
    least: float
    confidence: float
    power: float

    def __call__(self, images: Tensor, soft_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a draw; arguments, result and source as of `noisy_patch`."""
        return noisy_patch(images, soft_labels, **vars(self))

    def mean(self, soft_labels: Tensor, beta: Tensor | None) -> Tensor:
        """Return the mean of the labels drawn, (N, K); see `chain.Smoother`.

        Strength and side of a patch are uniform, so that the mean of severity ** power has a closed form.
        """
        up = 2 * self.power + 1
        side = 1.0 if self.least == 1 else (1 - self.least**up) / (up * (1 - self.least))
        severity = soft_labels.new_full((len(soft_labels),), self.chance * side / (self.power + 1))
        return _less_certain(soft_labels, severity, self.confidence)


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
    """Add noise to a random patch of some images, and move as much of their labels to the other classes evenly.

    Args:
        images: (N, C, H, W) in [0, 1].
        soft_labels: (N, K), rows sum to 1.
        chance, sigma, least: as of `augmentation.patch_gaussian.noisy_patches`.
        confidence: c in [0, 1], what the class keeps at severity s = 1; at 1 labels stay as they are.
        power: k > 0; the class keeps 1 - (1 - c) s^k, and each other one gets an equal part of the rest.
    Returns:
        Images in [0, 1], and labels whose rows sum to 1. A mixed label loses to each class as its parts do.
    Note: the published code's severity is the noise's std times the share of the area. Here the std counts as a share
        of `sigma`: the same where that is 1, as it is there. Its patches have a side of 0.8 and may stick out.
    Source: Siedel et al., "Combined Image Data Augmentations diminish the benefits of Adaptive Label Smoothing", arXiv
        2507.16427, by its published code, and Liu et al., "Soft Augmentation for Image Classification", CVPR 2023, for
        the law. The defaults are ours.
    """
    from hardener.augmentation.patch_gaussian import noisy_patches

    noisy, severity = noisy_patches(images, chance=chance, sigma=sigma, least=least)
    return noisy, _less_certain(soft_labels, severity.pow(power), confidence)


def _less_certain(soft_labels: Tensor, severity: Tensor, confidence: float) -> Tensor:
    """Return labels (N, K) that lose (1 - confidence) of their mass times the severity (N,) to the other classes."""
    classes = soft_labels.shape[1]
    # of what is mixed with all classes evenly, the class itself gets 1 / K back
    mixed = ((1 - confidence) * severity).unsqueeze(1).to(soft_labels.dtype) * classes / (classes - 1)
    return (1 - mixed) * soft_labels + mixed / classes
