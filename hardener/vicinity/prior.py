"""Each training image's perturbation of the epoch before: where the climb of this epoch starts from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardener.runtime.processes import rows_of_all

_FINEST = 127
_NONE = -128
"""What stands for a pixel whose image was in no step yet."""


class Prior(nn.Module):
    """Perturbations of all training images, as shares of eps: part of the method's state, and of a checkpoint.

    They are kept in 8 bits, in steps of eps / 127: a byte for each number of an image. Each of several processes keeps
    those of all images, since the next epoch may show it any of them.

    Args:
        images: training images.
        planes: channels, height, width.
    Attributes:
        places: (N,) int64 on the CPU, which images the next climb starts around. An image may be there twice: what its
            last climb came to is kept. A further step on the same minibatch starts where the one before ended.
    Note: a perturbation lies where it lay, whatever shift or mirroring its image has got this time, as in the
        published code. That code keeps a momentum of gradients besides, begins with signs instead of noise, and forgets
        all of it every 40 epochs, none of which is here. It steps by eps, where one step here has 1.25 eps unless
        `step_size` says else, and its labels leave the class 0.6: `vicinity.labels` can.
    Source: Jia et al., "Prior-Guided Adversarial Initialization for Fast Adversarial Training", ECCV 2022.
    """

    kept: Tensor

    def __init__(self, images: int, planes: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.full((images, *planes), _NONE, dtype=torch.int8))
        self.places = torch.zeros(0, dtype=torch.int64)

    def start(self, noise: Tensor, eps: float) -> Tensor:
        """Return the perturbations kept of the images at `places`, (N, C, H, W), and `noise` for what has none."""
        found = self.kept[self.places.to(self.kept.device, non_blocking=True)]
        return torch.where(found == _NONE, noise, found.to(noise.dtype) * (eps / _FINEST))

    def keep(self, perturbations: Tensor, eps: float) -> None:
        """Keep what a climb came to, (N, C, H, W) in radius eps, for the next one around the same images.

        Each process tells the others its own, so all have to come here together, as they do in a training step.
        """
        device = self.kept.device
        shares = (perturbations.detach() / eps).clamp(-1, 1)
        own = self.places.to(device, non_blocking=True)
        places, found = rows_of_all(own, (shares * _FINEST).round().to(device, torch.int8))
        rows = torch.arange(len(places), device=device)
        last = torch.zeros(len(self.kept), dtype=torch.int64, device=device).scatter_reduce(0, places, rows, "amax")
        self.kept[places] = found[last[places]]
