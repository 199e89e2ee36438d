"""How images lie in memory while an attack works on them."""

from __future__ import annotations

import torch
from torch import Tensor


def fast_layout(images: Tensor) -> Tensor:
    """Return the same images in the memory order that convolutions read fastest on their device.

    On a CPU that is channels_last: a small residual network answers in 0.6 to 0.8 of the time, because its
    convolutions then need no reordering on either side. What is computed from such images keeps the order, except
    by `repeat`. On other devices images stay as they are.
    """
    if images.device.type != "cpu":
        return images
    return images.contiguous(memory_format=torch.channels_last)
