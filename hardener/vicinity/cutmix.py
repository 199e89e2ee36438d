"""CutMix: a rectangle of another image, and as much of its label."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Beta

from hardener.config.section import Section


class Settings(Section):
    """`alpha`: of the Beta law that the rectangle's area is drawn from; 1 is uniform."""

    alpha: Annotated[float, Field(gt=0)] = 1.0


def cutmix(images: Tensor, soft_labels: Tensor, *, alpha: float) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of a random partner into every image; the labels mix as the areas do.

    Args:
        images: (N, C, H, W).
        soft_labels: (N, K), rows sum to 1.
        alpha: 1 - area ~ Beta(alpha, alpha), one draw an image; > 0.
    Returns:
        Mixed images and labels, shaped as they came; label rows still sum to 1. No host sync.
    Note: one rectangle an image, where the published code has one a batch; as there, it may stick out of the image,
        and the label counts what lies inside.
    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV
        2019, Eq. (1) and (2).
    """
    count, _, height, width = images.shape
    device = images.device
    shape = torch.full((count, 1), alpha, device=device)
    side = (1 - Beta(shape, shape, validate_args=False).sample()).sqrt()
    covered = []
    for length in (height, width):
        middle, place = torch.rand(count, 1, device=device), (torch.arange(length, device=device) + 0.5) / length
        covered.append((place - middle).abs() < side / 2)
    rows, columns = covered
    mask = rows[:, None, :, None] & columns[:, None, None, :]
    partner = torch.randperm(count, device=device)
    pasted = mask.float().mean(dim=(1, 2, 3)).unsqueeze(1).to(soft_labels.dtype)
    mixed = torch.where(mask, images[partner], images)
    return mixed, (1 - pasted) * soft_labels + pasted * soft_labels[partner]
