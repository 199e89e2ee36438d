"""Images mirrored from left to right."""

from __future__ import annotations

import torch
from torch import Tensor


def mirror(images: Tensor, *, flip: bool = True, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each image from left to right with probability 1/2.

    Args:
        images: (N, C, H, W).
        flip: False returns the images as they came.
        generator: of the draws; None: the one of the images' device.
    """
    if not flip:
        return images
    drawn_on = images.device if generator is None else generator.device
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=drawn_on).to(images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)
