"""Gaussian noise on the pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian(images: Tensor, soft_labels: Tensor, *, noise_sigma: float) -> tuple[Tensor, Tensor]:
    """Add independent noise N(0, noise_sigma^2) to every pixel; labels stay.

    Args:
        images: (N, C, H, W) in [0, 1].
        soft_labels: (N, K).
        noise_sigma: std in [0, 1] pixels, >= 0. At 0 the images are returned untouched.
    Returns:
        Images, which may leave [0, 1], and the labels as they came.
    Note: the noise is not clipped to the box, as in the paper and its published code: the law stays Gaussian.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1 (Gaussian augmentation).
    """
    if noise_sigma == 0:
        return images, soft_labels
    return images + noise_sigma * torch.randn_like(images), soft_labels
