"""What code reads of its own weights becomes a constant of the graph; what it reads of the images does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardener.errors import Failure
from hardener.models.onnx.constants import constant_reads
from hardener.models.onnx.program import batch_of, onnx_program

IMAGES = [torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(count)) for count in (2, 3)]


class Net(nn.Module):
    def __init__(self, used: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.mask = nn.Conv2d(3, 6, 3), nn.Parameter(torch.tensor([1.0, 0, 0, 1, 1, 0]))
        self.count: Tensor
        self.register_buffer("count", torch.zeros(1))
        self.used = used

    def forward(self, images: Tensor) -> Tensor:
        return self.used(self, self.conv(images).mean((2, 3)))


def by_numpy(self: Net, x: Tensor) -> Tensor:
    return x[:, np.squeeze(np.argwhere(np.asarray(self.mask.data.cpu().numpy())))]


def by_numbers(self: Net, x: Tensor) -> Tensor:
    kept = [place for place, one in enumerate(self.mask.tolist()) if one]
    return x[:, kept] * (self.mask.sum().item() if self.mask[0] > 0 else 1)


def of_images(self: Net, x: Tensor) -> Tensor:
    return x[:, [int(place) for place in (x.detach() * self.mask).numpy()[0].argsort()]]


def of_a_tensor_written_into(self: Net, x: Tensor) -> Tensor:
    self.count[0] = x.detach().max()
    return x * self.count.item()


def of_calls(self: Net, x: Tensor) -> Tensor:
    self.count += 1
    return x if self.count.item() > 100 else x * 2


@pytest.mark.parametrize("used", [by_numpy, by_numbers])
def test_numbers_of_weights_are_constants(used: Callable[[Net, Tensor], Tensor]) -> None:
    reads, others = constant_reads(Net(used), IMAGES)
    assert reads
    assert not others


@pytest.mark.parametrize("used", [of_images, of_a_tensor_written_into, of_calls])
def test_numbers_of_images_and_of_calls_are_none(used: Callable[[Net, Tensor], Tensor]) -> None:
    reads, others = constant_reads(Net(used), IMAGES)
    assert not reads
    assert [line for _, line in others] == [used.__code__.co_firstlineno + (1 if used is of_images else 2)]


@pytest.mark.slow
@pytest.mark.parametrize("used", [by_numpy, by_numbers])
def test_a_network_that_selects_by_its_weights_is_translated(used: Callable[[Net, Tensor], Tensor]) -> None:
    net = Net(used)
    assert batch_of(onnx_program(net, IMAGES[0], outputs=["logits"])) is None


@pytest.mark.slow
def test_the_line_that_makes_numpy_of_the_images_is_named() -> None:
    line = of_images.__code__.co_firstlineno + 1
    with pytest.raises(Failure, match=rf"\(test_onnx_constants.py, line {line}"):
        onnx_program(Net(of_images), IMAGES[0], outputs=["logits"])
