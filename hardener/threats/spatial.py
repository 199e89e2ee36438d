"""The worst rotation and translation of an image."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from hardener.threats import Change, Ends, Shape, between, within


class Spatial(Change):
    """A turn about the image's centre by `rotation` degrees, then a move by `shift` of its height and of its width.

    What comes in from outside is black; between pixels it is bilinear, so it has a gradient in all three values.

    Source: Engstrom, Tran, Tsipras, Schmidt, Madry, "Exploring the Landscape of Spatial Robustness", ICML 2019, section
        3: at most 30 degrees, and 3 of 28 or 32 pixels; a grid of 31 angles and 5 moves each way.
    """

    rotation: Annotated[Ends, within(-180, 180, still=0)] = (-30.0, 30.0)
    shift: Annotated[Ends, within(-1, 1, still=0)] = (-0.1, 0.1)
    grid_weights: ClassVar[tuple[float, ...]] = (6.2, 1.0, 1.0)

    def values(self, shape: Shape) -> int:
        """Return 3: the angle, the move down and the move to the right."""
        return 3

    def apply(self, images: Tensor, points: Tensor) -> Tensor:
        """Return the images turned and moved; see `Change.apply`."""
        down, right = between(points, 1, self.shift), between(points, 2, self.shift)
        return warped(images, between(points, 0, self.rotation), down, right)

    def told(self, point: Tensor, shape: Shape) -> str:
        """Say the turn in degrees and the move in shares of the sides; see `Change.told`."""
        angle = between(point[None], 0, self.rotation).item()
        down, right = (100 * between(point[None], place, self.shift).item() for place in (1, 2))
        return f"turned by {angle:.0f} degrees, moved {down:.0f} % down and {right:.0f} % to the right"

    def reach(self) -> str:
        """Say what the attacker may do."""
        low, high = self.shift
        return (
            f"The attacker may turn an image by {self.rotation[0]:g} to {self.rotation[1]:g} degrees and move it by "
            f"{100 * low:g} to {100 * high:g} % of its height and of its width; what comes in is black."
        )


def warped(images: Tensor, degrees: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Return images (N, C, H, W) turned and then moved, differentiable in all three values, (N,) each.

    Args:
        degrees: of the turn about the centre, against the clock.
        down, right: of the move, as shares of height and width.
    """
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees)
    cos, sin, x, y = angle.cos(), angle.sin(), 2 * right, 2 * down
    a, b, c, d = cos, -sin * height / width, sin * width / height, cos  # coordinates count half the sides
    rows = torch.stack([a, b, -(a * x + b * y), c, d, -(c * x + d * y)], dim=1).view(-1, 2, 3)
    grid = affine_grid(rows.to(images.dtype), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False).clamp(0, 1)
