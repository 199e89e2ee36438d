from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.transforms import Normalize

from hardener.models.own_normalization import fault_of_normalization, normalization_in, own_normalization


class Buffers(nn.Module):
    def __init__(self, mean: str, std: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer(mean, torch.full(shape, 0.5))
        self.register_buffer(std, torch.full(shape, 0.2))


@pytest.mark.parametrize("shape", [(3,), (1, 3, 1, 1), (3, 1, 1), (1,)])
@pytest.mark.parametrize(("mean", "std"), [("mean", "std"), ("mu", "sigma"), ("new_mean", "new_std")])
def test_a_mean_and_a_deviation_are_found(mean: str, std: str, shape: tuple[int, ...]) -> None:
    network = nn.Sequential(Buffers(mean, std, shape), nn.Conv2d(3, 2, 1))
    assert own_normalization(network) == [f"0.{mean} and {std}"]
    assert fault_of_normalization(network, "none", None) is None
    assert "--normalize none" in (fault_of_normalization(network, "imagenet", None) or "")


def test_a_transform_with_lists_and_plain_attributes_are_found() -> None:
    plain = nn.Conv2d(3, 2, 1)
    plain.mean, plain.std = torch.rand(3), torch.rand(3)
    assert own_normalization(nn.Sequential(Normalize((0.5,) * 3, (0.2,) * 3), plain)) == [
        "0.mean and std",
        "1.mean and std",
    ]


def test_what_is_no_normalisation_of_channels_is_not_taken_for_one() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), Buffers("mean", "std", (64,)), Buffers("mean", "other", (3,)))
    assert own_normalization(network) == []


def test_a_layer_that_lies_in_the_file_alone_is_told_as_an_option() -> None:
    tensors = {"norm.mean": torch.tensor([0.5, 0.25, 0.5]), "norm.std": torch.tensor([0.2]).expand(3)}
    left = normalization_in(tensors, tensors)
    assert left == "0.5,0.25,0.5/0.2,0.2,0.2"
    assert f"--normalize {left}" in (fault_of_normalization(nn.Conv2d(3, 2, 1), "data", left) or "")
    assert fault_of_normalization(nn.Conv2d(3, 2, 1), left, left) is None
