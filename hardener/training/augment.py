"""Augmentation on the device, before the vicinity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def augment(images: Tensor, *, shift: float, flip: bool) -> Tensor:
    """Move each image by its own random offset, edges filled with zeros, and mirror half of them.

    Args:
        images: (N, C, H, W).
        shift: largest offset as a share of height and width, in [0, 1].
        flip: mirror left and right with probability 1/2.
    Returns:
        (N, C, H, W); no host sync.
    """
    count, _, height, width = images.shape
    device = images.device
    reach_y, reach_x = round(shift * height), round(shift * width)
    if reach_y or reach_x:
        padded = pad(images, (reach_x, reach_x, reach_y, reach_y))
        top = torch.randint(0, 2 * reach_y + 1, (count, 1), device=device)
        left = torch.randint(0, 2 * reach_x + 1, (count, 1), device=device)
        rows = (top + torch.arange(height, device=device)).view(count, 1, height, 1)
        columns = (left + torch.arange(width, device=device)).view(count, 1, 1, width)
        every = torch.arange(count, device=device).view(count, 1, 1, 1)
        channels = torch.arange(images.shape[1], device=device).view(1, -1, 1, 1)
        images = padded[every, channels, rows, columns]
    if flip:
        mirrored = torch.rand(count, 1, 1, 1, device=device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    return images
