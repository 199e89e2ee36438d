"""Affine maps of images, one each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Return images seen through affine maps, bilinear, black outside.

    Args:
        images: (N, C, H, W).
        maps: (N, 2, 3): from a place in the result to one in the image, in pixels (x, y) from the middle.
    """
    height, width = images.shape[2:]
    to_shares = torch.tensor([[1, height / width, 2 / width], [width / height, 1, 2 / height]])
    theta = (maps * to_shares).to(images.device, images.dtype, non_blocking=True)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def zoom(images: Tensor, centres: Tensor, sizes: Tensor) -> Tensor:
    """Return a rectangle of each image, brought to the image's size; centres and sizes as `_draw.rectangles` gives."""
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sizes[:, 0], sizes[:, 1]
    theta[:, :, 2] = 2 * centres - 1
    grid = affine_grid(
        theta.to(images.device, images.dtype, non_blocking=True), list(images.shape), align_corners=False
    )
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
