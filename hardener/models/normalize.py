"""The one module that training, attacks, export and serving all see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.answer import Way, unwrap_logits

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SMALLEST_STD = 1e-3


class ImageClassifier(nn.Module):
    """A user's network behind one door: [0, 1] images in, logits out.

    No empty batch reaches the network, and nothing that it does to its input reaches whoever asks.

    Args:
        network: takes normalised images; returns logits, or something that holds them, as `unwrap_logits` finds them.
        mean, std: per channel, in [0, 1] pixels; empty for no normalisation.
        classes: names in the order of the logits.
    Attributes:
        contiguous: images go in contiguous, whatever their memory order: the network runs in no other.
        writes: the network changes its input in place, so that it is given a copy.
        paired: the network takes no image alone: one goes in beside a copy of itself, and the first answer is taken.
        way: where in what it returns its logits stand, where several tensors could be them.
        way_in_training: the same in training mode, where a network may return others, or in another order.
        heads: names of the layers that make its logits, the main one first, as far as they are known.
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
        self.contiguous = False
        self.writes = False
        self.paired = False
        self.way: Way | None = None
        self.way_in_training: Way | None = None
        self.heads: tuple[str, ...] = ()
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1), persistent=False)

    def treated_like(self, other: ImageClassifier) -> ImageClassifier:
        """Give the network its images as another classifier of it does; return the classifier itself."""
        self.contiguous, self.writes, self.paired = other.contiguous, other.writes, other.paired
        self.way, self.way_in_training, self.heads = other.way, other.way_in_training, other.heads
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (N, K), for images (N, C, H, W) in [0, 1]."""
        if not torch.compiler.is_exporting() and images.shape[0] == 0:  # a graph's batch is open, and never empty
            return images.flatten(1).sum(dim=1, keepdim=True).expand(0, max(len(self.classes), 1))
        if self.normalizes:
            images = (images - self.mean) / self.std
        elif self.writes:
            images = images.clone()
        if self.contiguous:
            images = images.contiguous()
            if images.shape[1] == 1:  # one channel lies the same in both orders, and layers take it for channels_last
                images = images.squeeze(1).unsqueeze(1)
        if self.paired and (torch.compiler.is_exporting() or images.shape[0] == 1):  # a graph is for any number
            return self._logits(torch.cat([images, images[:1]]))[:-1]
        return self._logits(images)

    def _logits(self, images: Tensor) -> Tensor:
        output = self.network(images)
        way = self.way if not self.training or self.way_in_training is None else self.way_in_training
        return unwrap_logits(output, width=len(self.classes) or None, images=images.shape[0], way=way)


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
