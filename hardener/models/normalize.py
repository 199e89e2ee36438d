"""The one module that training, attacks, export and serving all see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hardener.errors import HardenerError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SMALLEST_STD = 1e-3


class ImageClassifier(nn.Module):
    """A user's network behind one door: [0, 1] images in, logits out.

    Args:
        network: takes normalised images; may return logits, a tuple or list that begins with them, a mapping or an
            object that holds them as `logits`.
        mean, std: per channel, in [0, 1] pixels; empty for no normalisation.
        classes: names in the order of the logits.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float], classes: Sequence[str]
    ) -> None:
        super().__init__()
        self.network = network
        self.classes = tuple(classes)
        self.normalizes = bool(mean)
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (N, K), for images (N, C, H, W) in [0, 1]."""
        if self.normalizes:
            images = (images - self.mean) / self.std
        return unwrap_logits(self.network(images))


def unwrap_logits(output: Any) -> Tensor:
    """Find the logits, (N, K), in what a network returned.

    Raises:
        HardenerError: no two-dimensional tensor where one is looked for.
    """
    found = output
    if hasattr(found, "logits"):  # HuggingFace outputs, torchvision's Inception and GoogLeNet
        found = found.logits
    elif isinstance(found, dict):
        found = next((found[key] for key in ("logits", "out", "output") if key in found), found)
    elif isinstance(found, tuple | list) and found:
        found = found[0]
    if not isinstance(found, Tensor) or found.dim() != 2:
        what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise HardenerError(
            f"the model returned {what}; a classifier returns logits of shape (N, K), alone, first in a tuple, or "
            "under `logits` in a mapping or an object."
        )
    return found


def normalization(
    text: str, *, channels: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read `data`, `none`, `imagenet` or MEAN/STD into per-channel mean and std; both empty for none.

    Args:
        text: MEAN/STD is `0.5/0.25`, or `0.5,0.5,0.4/0.2,0.2,0.3`, in [0, 1] pixels.
        channels: 1 or 3.
        mean, std: of the data, used for `data`.
    Raises:
        HardenerError: unreadable, a std <= 0, or another number of channels.
    """
    if text == "none":
        return (), ()
    if text == "data":
        return tuple(mean), tuple(max(value, _SMALLEST_STD) for value in std)
    given_mean: tuple[float, ...]
    given_std: tuple[float, ...]
    if text == "imagenet":
        given_mean, given_std = IMAGENET
    else:
        try:
            given_mean, given_std = (tuple(float(v) for v in part.split(",")) for part in text.split("/"))
        except ValueError:
            raise HardenerError(
                f"--normalize takes data, none, imagenet or MEAN/STD such as 0.5,0.5,0.5/0.2,0.2,0.2; got {text!r}."
            ) from None
    if channels == 1 and len(given_mean) == 3 and text == "imagenet":
        given_mean, given_std = (sum(given_mean) / 3,), (sum(given_std) / 3,)
    if len(given_mean) == len(given_std) == 1:
        given_mean, given_std = given_mean * channels, given_std * channels
    if len(given_mean) != channels or len(given_std) != channels:
        raise HardenerError(f"--normalize {text!r} is not for {channels} channel{'s' if channels > 1 else ''}.")
    if min(given_std) <= 0:
        raise HardenerError(f"--normalize {text!r}: every std must be > 0, in [0, 1] pixels.")
    if max(given_mean) > 1 or max(given_std) > 1:
        raise HardenerError(f"--normalize {text!r}: mean and std are of [0, 1] pixels; divide yours by 255.")
    return given_mean, given_std
