"""The l1 ball: sizes are sums of absolute values over all pixels and channels of an image.

Here the box matters most. The ball's corners move one value alone, by up to eps, where the box stops at 1: what an
attacker can reach is the ball cut by the box, whose corners move about eps values to the box's sides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.geometry import Norm, fit_box


class _L1(Norm):
    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        """See `Norm`. What is nearest lowers all absolute values alike, not below 0.

        Source: Duchi, Shalev-Shwartz, Singer, Chandra, "Efficient Projections onto the l1-Ball for Learning in High
            Dimensions", ICML 2008.
        """
        height = delta.flatten(1).abs()
        eps = eps.view(-1, 1) if isinstance(eps, Tensor) else eps
        falling = height.sort(dim=1, descending=True).values
        count = torch.arange(1, height.shape[1] + 1, device=delta.device, dtype=delta.dtype)
        lowered = ((falling.cumsum(dim=1) - eps) / count).amax(dim=1, keepdim=True).clamp_min(0)
        return (delta.sign().flatten(1) * (height - lowered).clamp_min(0)).view_as(delta)

    def random_point(self, images: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
        """See `Norm`. Of d + 1 exponential draws, each share of their sum is uniform in the simplex."""

        def exponential(*shape: int) -> Tensor:
            return torch.empty(shape, device=images.device, dtype=images.dtype).exponential_(generator=generator)

        heights = exponential(*images.shape)
        signs = torch.randint(0, 2, images.shape, generator=generator, device=images.device) * 2 - 1
        total = heights.flatten(1).sum(dim=1) + exponential(len(images))
        return heights * signs * (eps / total).view(-1, *[1] * (images.dim() - 1))

    def steepest(self, gradient: Tensor) -> Tensor:
        flat = gradient.flatten(1)
        largest = flat.abs().argmax(dim=1, keepdim=True)
        return torch.zeros_like(flat).scatter(1, largest, flat.gather(1, largest).sign()).view_as(gradient)

    def size(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().sum(dim=1)

    def project_in_box(self, images: Tensor, delta: Tensor, eps: float | Tensor) -> Tensor:
        """Return the point of ball and box together that is nearest to `delta`.

        It lowers all absolute values by one amount, then cuts them to [0, room], where room is what the box leaves:
        a value far outside the box gives way at no cost. The amount is where a falling broken line meets eps; the
        line bends where a value enters the box and where it reaches 0.

        Source: Croce and Hein, "Mind the box: l1-APGD for Sparse Adversarial Attacks on Image Classifiers", ICML 2021
            (the projection onto the intersection of the l1 ball and the box).
        """
        eps = eps.view(-1, 1) if isinstance(eps, Tensor) else eps
        height = delta.flatten(1).abs()
        room = torch.where(delta > 0, 1 - images, images).flatten(1).clamp_min(0)
        bends, order = torch.cat([height, height - room], dim=1).sort(dim=1, descending=True)
        slope = torch.where(order < height.shape[1], 1.0, -1.0).to(delta.dtype).cumsum(dim=1)
        rise = slope[:, :-1] * (bends[:, :-1] - bends[:, 1:])
        line = torch.cat([torch.zeros_like(rise[:, :1]), rise.cumsum(dim=1)], dim=1)  # the size, lowered to each bend
        before = (line <= eps).sum(dim=1, keepdim=True).sub(1).clamp_min(0)
        steep = slope.gather(1, before).clamp_min(1)
        lowered = (bends.gather(1, before) - (eps - line.gather(1, before)) / steep).clamp_min(0)
        for _ in range(2):  # what the sums above lost to rounding goes from the values between 0 and their sides
            cut = torch.minimum((height - lowered).clamp_min(0), room)
            between = ((cut > 0) & (cut < room)).sum(dim=1, keepdim=True).clamp_min(1)
            lowered = lowered + (cut.sum(dim=1, keepdim=True) - eps).clamp_min(0) / between
        cut = torch.minimum((height - lowered).clamp_min(0), room)
        return fit_box(images, (delta.sign().flatten(1) * cut).view_as(delta))

    def climbing_step(self, gradient: Tensor, eps: float) -> Tensor:
        """Return a step of size 1, shared alike by the 2 eps values with the largest gradients, one at least.

        So many can go from the middle of the box to its sides. The steepest step moves one value: an ascent along it
        would need more steps than it has.

        Note: the paper moves one value in a hundred, at eps 10 on 3072 values.
        Source: Tramèr and Boneh, "Adversarial Training and Robustness for Multiple Perturbations", NeurIPS 2019 (the
            sparse l1 descent attack).
        """
        many = min(max(round(2 * eps), 1), gradient[0].numel())
        return sparse_step(gradient, torch.full((len(gradient),), many, device=gradient.device))

    def farthest_in_box(self, images: Tensor, gradient: Tensor, eps: float) -> Tensor:
        """Return the best point of ball and box together: the largest gradients first, each to its side of the box.

        Source: Croce and Hein, ICML 2021 (the steepest step in the intersection of the l1 ball and the box).
        """
        flat = gradient.flatten(1)
        order = flat.abs().argsort(dim=1, descending=True)
        upwards = flat.gather(1, order).sign()
        at = images.flatten(1).gather(1, order)
        room = torch.where(upwards > 0, 1 - at, at) * upwards.abs()
        spent = (eps - room.cumsum(dim=1) + room).clamp_min(0).minimum(room)
        return fit_box(images, torch.zeros_like(flat).scatter(1, order, spent * upwards).view_as(gradient))


def sparse_step(gradient: Tensor, kept: Tensor) -> Tensor:
    """Return a step of size 1 shared alike by the values with the largest gradients, signed as they are.

    Args:
        gradient: (N, C, H, W); a row of zeros gives zeros.
        kept: (N,) int64 in [1, C * H * W], values that move; values with a gradient as large as the last of them move
            too, values with none never.
    """
    height = gradient.flatten(1).abs()
    least = height.sort(dim=1, descending=True).values.gather(1, kept.view(-1, 1) - 1)
    moves = (height >= least) & (height > 0)
    step = gradient.sign().flatten(1) * moves / moves.sum(dim=1, keepdim=True).clamp_min(1)
    return step.view_as(gradient)


L1 = _L1()
