"""Images moved by a few pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def shift(images: Tensor, *, shift: float, generator: torch.Generator | None = None) -> Tensor:
    """Move each image by its own random offset, edges filled with zeros.

    Args:
        images: (N, C, H, W).
        shift: largest offset as a share of height and width, in [0, 1].
        generator: of the draws; None: the one of the images' device.
    Returns:
        (N, C, H, W); no host sync.
    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: 4 pixels of 32.
    """
    count, _, height, width = images.shape
    device = images.device
    reach_y, reach_x = round(shift * height), round(shift * width)
    if not (reach_y or reach_x):
        return images
    drawn_on = device if generator is None else generator.device
    padded = pad(images, (reach_x, reach_x, reach_y, reach_y))
    top = torch.randint(0, 2 * reach_y + 1, (count, 1), generator=generator, device=drawn_on).to(device)
    left = torch.randint(0, 2 * reach_x + 1, (count, 1), generator=generator, device=drawn_on).to(device)
    rows = (top + torch.arange(height, device=device)).view(count, 1, height, 1)
    columns = (left + torch.arange(width, device=device)).view(count, 1, 1, width)
    every = torch.arange(count, device=device).view(count, 1, 1, 1)
    channels = torch.arange(images.shape[1], device=device).view(1, -1, 1, 1)
    return padded[every, channels, rows, columns]
