"""A sticker: a square of any content at any place."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from hardener.errors import HardenerError
from hardener.threats import Change, Shape, shape_of


class Patch(Change):
    """A square that covers a share `area` of the image: the attacker chooses its place and every value in it.

    A point holds the place of its upper left corner, down and to the right, and then its values, channel by channel.
    There is a gradient in the values; the place is a whole number of pixels and has none.

    Source: Brown et al., "Adversarial Patch", arXiv 1712.09665; one patch for each image, at a place that is attacked
        as well, as in Croce et al., "Sparse-RS: a Versatile Framework for Query-Efficient Sparse Black-Box
        Adversarial Attacks", AAAI 2022, section 5.
    """

    area: Annotated[float, Field(gt=0, le=1)] = 0.05

    def side(self, shape: Shape) -> int:
        """Return how many pixels wide and high it is, >= 1: the nearest square to the share of the area."""
        _, height, width = shape
        return max(round(math.sqrt(self.area * height * width)), 1)

    def check(self, shape: Shape) -> None:
        """Refuse a square that is larger than the image; see `Change.check`."""
        _, height, width = shape
        if self.side(shape) > min(height, width):
            most = min(height, width) ** 2 / (height * width)
            raise HardenerError(
                f"a square patch of area={self.area:g} is {self.side(shape)} pixels wide, and the images are "
                f"{width}x{height}: at most area={math.floor(1000 * most) / 1000:g} fits."
            )

    def values(self, shape: Shape) -> int:
        """Return 2 for the place, and one for each value of the square."""
        return 2 + shape[0] * self.side(shape) ** 2

    def apply(self, images: Tensor, points: Tensor) -> Tensor:
        """Return the images with the square on them; see `Change.apply`."""
        shape = shape_of(images)
        channels, height, width = shape
        side, count = self.side(shape), len(images)
        top, left = ((points[:, i].detach() * (n - side + 1)).long() for i, n in ((0, height), (1, width)))
        steps = torch.arange(side, device=images.device)
        down = (top.clamp_max(height - side).view(-1, 1) + steps).view(count, 1, side, 1)
        right = (left.clamp_max(width - side).view(-1, 1) + steps).view(count, 1, 1, side)
        each = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
        channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
        content = points[:, 2:].view(count, channels, side, side).to(images.dtype)
        return images.index_put((each, channel, down, right), content)

    def neighbours(
        self, points: Tensor, images: Tensor, *, share: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw a point near each: another place near by, or a square within it, in one colour.

        Source: the updates of Sparse-RS (see the class) for patches, which take turns at random here.
        """
        shape = shape_of(images)
        channels, side, count = shape[0], self.side(shape), len(points)

        def rand(*size: int) -> Tensor:
            return torch.rand(size, generator=generator, device=points.device)

        moves = rand(count) < 0.2
        reach = max(share, 1 / max(images.shape[-2:]))
        place = (points[:, :2] + 2 * reach * (2 * rand(count, 2) - 1)).clamp(0, 1)
        length = max(round(math.sqrt(min(share, 1)) * side), 1)
        corner = (rand(count, 2) * (side - length + 1)).long().clamp_max(side - length)
        steps = torch.arange(side, device=points.device)
        down, right = ((steps >= corner[:, i : i + 1]) & (steps < corner[:, i : i + 1] + length) for i in (0, 1))
        inner = (down.unsqueeze(2) & right.unsqueeze(1)).unsqueeze(1).expand(-1, channels, -1, -1).flatten(1)
        colour = rand(count, channels, 1, 1).round().expand(-1, -1, side, side).flatten(1)
        content = torch.where(inner, colour, points[:, 2:])
        still = moves.unsqueeze(1)
        return torch.cat([torch.where(still, place, points[:, :2]), torch.where(still, points[:, 2:], content)], dim=1)

    def jump(self, points: Tensor, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw another place for the square as it is."""
        place = torch.rand((len(points), 2), generator=generator, device=points.device)
        return torch.cat([place, points[:, 2:]], dim=1)

    def told(self, point: Tensor, shape: Shape) -> str:
        """Say the size and the place of the square; see `Change.told`."""
        side = self.side(shape)
        top, left = ((point[i] * (n - side + 1)).long().clamp_max(n - side).item() for i, n in enumerate(shape[1:]))
        return f"a square of {side} pixels, {top} from the top and {left} from the left"

    def reach(self) -> str:
        """Say what the attacker may do."""
        return (
            f"The attacker may put a square sticker on {100 * self.area:g} % of an image's area: any content, "
            "at any place."
        )
