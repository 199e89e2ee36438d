from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.freeze import freeze


class Net(nn.Module):
    """A stem, two blocks, a token that belongs to no module, and a head behind a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(4))
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()) for _ in range(2))
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) * self.token
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


def learning(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def step(network: nn.Module) -> set[str]:
    """Train a step and name what has changed, batch statistics included."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0, weight_decay=0.1)
    network(torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    optimizer.step()
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def test_a_frozen_part_keeps_its_parameters_and_its_batch_statistics() -> None:
    network = Net()
    assert freeze(network, ["stem", "blocks.0"], num_classes=3) == ["stem", "blocks.0"]
    changed = step(network)
    assert not any(name.startswith(("stem", "blocks.0")) for name in changed)
    assert {"token", "blocks.1.0.weight", "blocks.1.1.running_mean", "head.1.weight"} <= changed


def test_everything_else_is_left_to_learn() -> None:
    network = Net()
    free = step(network)
    assert free == set(network.state_dict())
    assert freeze(network, [], num_classes=3) == []
    assert learning(network) == {name for name, _ in network.named_parameters()}


@pytest.mark.parametrize(
    ("patterns", "frozen"),
    [
        (["block?"], ["blocks"]),
        (["*.1"], ["stem.1", "blocks.0.1", "blocks.1", "head.1"]),
        (["blocks.0.?"], ["blocks.0.0", "blocks.0.1", "blocks.0.2"]),
        (["token"], ["token"]),
        (["*.bias"], ["stem.1.bias", "stem.2.bias", "blocks.0.0.bias", "blocks.0.1.bias", "blocks.1.0.bias"]),
        (["all-but-head"], ["token", "stem", "blocks"]),
        (["blocks.1", "all-but-head"], ["token", "stem", "blocks"]),
    ],
)
def test_patterns_match_names_and_all_that_is_below(patterns: list[str], frozen: list[str]) -> None:
    network = Net()
    found = freeze(network, patterns, num_classes=3)
    assert [name for name in found if not name.startswith(("blocks.1.1.b", "head.1.b"))] == frozen
    for name in (name for name, _ in network.named_parameters()):
        below = any(name == top or name.startswith(f"{top}.") for top in found)
        assert (name in learning(network)) != below


def test_all_but_head_leaves_the_dropout_before_the_head_at_work() -> None:
    network = Net()
    freeze(network, ["all-but-head"], num_classes=3)
    network.train()
    assert learning(network) == {"head.1.weight", "head.1.bias"}
    assert network.get_submodule("head.0").training
    assert not network.get_submodule("blocks.1.1").training
    assert step(network) == {"head.1.weight", "head.1.bias"}


def test_no_call_of_train_thaws_it_nor_a_copy() -> None:
    network = Net()
    freeze(network, ["blocks"], num_classes=3)
    twin = copy.deepcopy(network)
    for net in (network, twin):
        net.eval().train()
        for module in net.modules():
            module.train()
        assert [module.training for module in net.blocks.modules()] == [False] * 9
        assert net.stem.training
    assert twin.get_submodule("blocks.0").train() is twin.get_submodule("blocks.0")
    assert learning(twin) == learning(network)


def test_statistics_freeze_where_there_is_no_parameter() -> None:
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 3))
    assert freeze(network, ["1"], num_classes=3) == ["1"]
    assert step(network) == {"2.weight", "2.bias"}


def test_what_cannot_be_frozen_says_so_and_changes_nothing() -> None:
    network = Net()
    for patterns, match in (
        (["blocsk"], r"'blocsk' matches no module of the model. Did you mean 'blocks'\? Its modules are token, stem, "),
        (["stem", "nope"], r"such as stem.1; all-but-head is all but the final layer"),
        (["all-but-heads"], "Did you mean 'all-but-head'"),
        (["head.0"], "'head.0' matches head.0 alone, which learns nothing as it is"),
        (["*"], r"--freeze \* leaves nothing to learn. Try --freeze all-but-head"),
        (["all-but-head", "head"], "leaves nothing to learn"),
    ):
        with pytest.raises(HardenerError, match=match):
            freeze(network, patterns, num_classes=3)
    with pytest.raises(HardenerError, match="all-but-head: the model has no final linear layer with 5 outputs"):
        freeze(network, ["all-but-head"], num_classes=5)
    assert step(network) == set(network.state_dict())
