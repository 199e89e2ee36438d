"""What a network does to its images is watched: neither names nor what it holds count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
import torchvision.transforms.functional as of_torchvision
from torch import Tensor, nn
from torchvision import transforms

from hardener.models.normalization_done import BYTES, normalization_done
from hardener.models.own_normalization import fault_of_normalization, normalization_of

IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Net(nn.Module):
    """Does something to its images, and then has a layer."""

    def __init__(self, does: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.does = does
        self.register_buffer("rgb_mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("rgb_std", torch.tensor(STD).view(1, 3, 1, 1))
        self.scale = nn.Parameter(torch.ones(1))
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(self.does(self, x)).mean((2, 3)) / 255 - 0.5
        return found


def by_channel(net: Any, x: Tensor) -> Tensor:
    made = torch.empty_like(x)
    for place in range(3):
        made[:, place] = (x[:, place] - MEAN[place]) / STD[place]
    return made


@pytest.mark.parametrize(
    "does",
    [
        lambda net, x: (x - net.rgb_mean) / net.rgb_std,
        lambda net, x: (x * 255.0 - net.rgb_mean * 255) / (net.rgb_std * 255),
        lambda net, x: of_torchvision.normalize(x, MEAN, STD),
        lambda net, x: transforms.Compose([transforms.Normalize(MEAN, STD)])(x),
        lambda net, x: x.clone().sub_(net.rgb_mean).div_(net.rgb_std),
        lambda net, x: of_torchvision.normalize(nn.functional.interpolate(x, scale_factor=2.0), MEAN, STD),
        lambda net, x: nn.functional.pad((x.flip(1) - net.rgb_mean) / net.rgb_std, (1, 1, 1, 1)),
        lambda net, x: net.scale * (x - net.rgb_mean) / net.rgb_std,
        by_channel,
        lambda net, x: 2 * x - 1,
        lambda net, x: x - 0.5,
        lambda net, x: (x * 255 - 127.5) / 127.5,
    ],
)
def test_a_normalisation_is_seen_however_it_is_written(does: Any) -> None:
    found = normalization_done(Net(does), IMAGES)
    assert found is not None
    assert not found.of_bytes
    assert "--normalize none" in (fault_of_normalization(Net(does), "imagenet", None, IMAGES) or "")
    assert fault_of_normalization(Net(does), "none", None, IMAGES) is None


@pytest.mark.parametrize("does", [lambda net, x: x / 255.0, lambda net, x: (x - 127.5) * (1 / 58)])
def test_a_network_of_numbers_to_255_is_told_with_what_gives_them(does: Any) -> None:
    found = normalization_done(Net(does), IMAGES)
    assert found is not None
    assert (found.of_bytes, found.normalize) == (True, BYTES)
    assert f"Pass --normalize {BYTES}" in (fault_of_normalization(Net(does), "none", None, IMAGES) or "")
    assert fault_of_normalization(Net(does), BYTES, None, IMAGES) is None
    assert fault_of_normalization(Net(does), "0,0,0/0.0039216,0.0039216,0.0039216", None, IMAGES) is None


@pytest.mark.parametrize(
    "does",
    [
        lambda net, x: x,
        lambda net, x: x * net.scale,
        lambda net, x: x / x.norm(dim=1, keepdim=True),
        lambda net, x: x - x.mean(),
        lambda net, x: x * 255 / 255,
        lambda net, x: x + torch.zeros(1, 3, 8, 8),
        lambda net, x: x + torch.randn_like(x) * 0.05 if net.training else x,
    ],
)
def test_what_is_none_is_not_taken_for_one(does: Any) -> None:
    assert normalization_done(Net(does), IMAGES) is None


def test_a_mean_and_a_deviation_that_nothing_uses_are_information() -> None:
    network = Net(lambda net, x: x)
    vars(network).update(mean=MEAN, std=STD)  # as in Cadene's pretrainedmodels
    assert normalization_of(network, IMAGES) is None
    assert fault_of_normalization(network, "imagenet", None, IMAGES) is None


def test_from_one_normalisation_to_another_is_none() -> None:
    network = torchvision.models.googlenet(weights=None, transform_input=True, init_weights=False)
    assert normalization_done(network, torch.rand(2, 3, 64, 64)) is None


def test_the_place_is_told_by_its_buffers_or_its_line() -> None:
    found = normalization_done(nn.Sequential(Net(lambda net, x: (x - net.rgb_mean) / net.rgb_std)), IMAGES)
    assert found is not None
    assert found.told == "0.rgb_mean and rgb_std"
    found = normalization_done(Net(lambda net, x: 2 * x - 1), IMAGES)
    assert found is not None
    assert found.told.startswith("test_normalization_done.py, line ")
