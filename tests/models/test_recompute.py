from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from hardener.models.recompute import recompute


class Counted(nn.Sequential):
    passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        for part in self:
            images = part(images)
        return images


def passes(model: nn.Sequential) -> int:
    block = model[0]
    assert isinstance(block, Counted)
    return block.passes


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        Counted(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3)),
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)),
    )


@pytest.mark.parametrize("copied", [False, True])
def test_gradients_and_batch_statistics_are_those_of_one_pass(copied: bool) -> None:
    plain, again = network(), network()
    recompute(list(again))
    again = copy.deepcopy(again) if copied else again
    images = torch.rand(5, 1, 6, 6)
    for model in (plain, again):
        torch.manual_seed(1)
        for _ in range(2):
            model(images).square().sum().backward()
    assert (passes(plain), passes(again)) == (2, 4), "each block's inside was computed again"
    for ours, theirs in zip(plain.parameters(), again.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(plain.buffers(), again.buffers(), strict=True))
    with torch.no_grad():
        again(images)
    assert passes(again) == 5, "without a backward pass nothing is computed again"
