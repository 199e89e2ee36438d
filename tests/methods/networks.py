"""Small networks and minibatches that the tests of methods share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hardener.config.schema import Labels, Vicinity
from hardener.methods.vicinity_risk import VicinityRisk
from hardener.vicinity.chain import chain_of
from hardener.vicinity.worst_point import Settings as Ball


def conv_problem() -> tuple[nn.Sequential, Tensor, Tensor]:
    """A network with convolution, batch norm and dropout in training mode, and 8 images of 3 classes."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(6 * 16, 3),
    )
    return network, torch.rand(8, 3, 4, 4), torch.randint(3, (8,))


class Flat(nn.Module):
    """A linear network."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.line = nn.Linear(pixels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (N, K)."""
        logits: Tensor = self.line(images.flatten(1))
        return logits


def flat_problem(classes: int = 3) -> tuple[Flat, Tensor, Tensor]:
    """A linear network in float64 and 8 images well inside the box."""
    torch.manual_seed(0)
    network = Flat(12, classes).double()
    return network, 0.3 + 0.4 * torch.rand(8, 3, 2, 2, dtype=torch.float64), torch.randint(classes, (8,))


def state(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the state dict."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two state dicts are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def risk(
    classes: int,
    *,
    noise_sigma: float = 0.0,
    mixup_alpha: float = 0.0,
    ball: Ball | None = None,
    learn_beta: bool = True,
    beta_max: float = 10.0,
    **labels: Any,
) -> VicinityRisk:
    """Vicinity risk under the law `budget` and its mean, with nothing smoothed, where `labels` say nothing else."""
    law = Labels(**({"law": "budget", "smoothing": 0.0} | labels))
    on = Vicinity(noise_sigma=noise_sigma, mixup_alpha=mixup_alpha, labels=law).on()
    links = chain_of(on if ball is None else on | {"adversarial": ball})
    return VicinityRisk(classes, links, learn_beta=learn_beta, beta_max=beta_max)
