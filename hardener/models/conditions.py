"""How a network will be used, and what its owner should know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hardener.progress import Reporter


@dataclass(frozen=True)
class Conditions:
    """How a network will be used.

    Attributes:
        channels, height, width: of the images.
        device: where.
        batch: images of the smallest piece that training takes at once; None for no training.
        autocast: training computes in bfloat16 where that is safe.
    """

    channels: int
    height: int
    width: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch: int | None = None
    autocast: bool = False

    def images(self, count: int) -> Tensor:
        """Return images of noise."""
        return noise(count, self.channels, self.height, self.width, self.device)

    def shown(self, count: int) -> str:
        """Say which images those are."""
        return f"{count} image{'s' if count > 1 else ''} of {self.channels} x {self.height} x {self.width}"


@dataclass(frozen=True)
class Remark:
    """What a network's owner should know; `wrong`: it had better be changed."""

    text: str
    wrong: bool = False


def noise(count: int, channels: int, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Return images of noise, the same each time: on black ones a network may fail that does on no others."""
    numbers = torch.Generator("cpu").manual_seed(0)
    return torch.rand(count, channels, height, width, generator=numbers, device="cpu").to(device)


def tell(remarks: Sequence[Remark], reporter: Reporter) -> None:
    """Say each remark."""
    for remark in remarks:
        (reporter.warn if remark.wrong else reporter.say)(remark.text)
