from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hardener.errors import HardenerError
from hardener.models.activation import SOFTPLUS_BETA, replace_activations
from hardener.models.load import load_model

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": lambda x: x * torch.sigmoid(x),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "softplus": lambda x: torch.log(1 + torch.exp(SOFTPLUS_BETA * x)) / SOFTPLUS_BETA,
}


class Net(nn.Module):
    """One nn.ReLU in two places, another in a list, and `call` between them."""

    def __init__(self, call: Callable[[Tensor], Tensor] = nn.Identity()) -> None:  # noqa: B008 - it holds no state
        super().__init__()
        self.first = self.second = nn.ReLU(inplace=True)
        self.rest = nn.ModuleList([nn.Sequential(nn.ReLU()), nn.Flatten(), nn.Linear(4, 3)])
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        x = self.call(self.second(self.first(x)))
        for layer in self.rest:
            x = layer(x)
        return x


def smooth(network: nn.Module, name: str = "silu") -> int:
    return replace_activations(network, name, channels=1, height=2, width=2)


@pytest.mark.parametrize("name", FORMULAS)
def test_every_relu_becomes_the_function_that_was_asked_for(name: str) -> None:
    network = nn.Sequential(nn.ReLU(), nn.Flatten())
    assert smooth(network, name) == 1
    x = torch.linspace(-2, 1.5, 8, dtype=torch.float64).view(2, 1, 2, 2)
    torch.testing.assert_close(network(x), FORMULAS[name](x).flatten(1))


def test_softplus_lies_as_near_to_relu_as_is_said() -> None:
    x = torch.linspace(-3, 3, 601, dtype=torch.float64)
    distance = (FORMULAS["softplus"](x) - x.relu()).abs()
    assert float(distance.max()) == pytest.approx(math.log(2) / SOFTPLUS_BETA)


def test_a_module_in_two_places_is_replaced_in_both_and_names_stay() -> None:
    network = Net()
    names = list(network.state_dict())
    assert smooth(network) == 2
    assert network.first is network.second
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())
    assert list(network.state_dict()) == names
    assert isinstance(network.first, nn.SiLU)


def test_keep_changes_nothing() -> None:
    network = Net()
    assert smooth(network, "keep") == 0
    assert isinstance(network.first, nn.ReLU)


def test_the_mode_stays_as_it_was() -> None:
    for training in (True, False):
        network = Net().train(training)
        smooth(network)
        assert {module.training for module in network.modules()} == {training}


@pytest.mark.parametrize(
    "call",
    [torch.relu, functional.relu, Tensor.relu, lambda x: x.clone().relu_(), lambda x: functional.relu(x, inplace=True)],
    ids=["torch", "functional", "method", "in place", "functional in place"],
)
def test_a_relu_that_is_a_call_is_refused_and_the_network_left_alone(call: Callable[[Tensor], Tensor]) -> None:
    network = Net(call)
    before = dict(copy.copy(network._modules))
    with pytest.raises(
        HardenerError, match=r"the model beside its nn.ReLU modules calls relu as a function \(1 time in"
    ):
        smooth(network)
    assert network._modules == before


def test_a_network_without_the_module_says_what_it_has() -> None:
    class Called(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu().flatten(1).relu()

    with pytest.raises(
        HardenerError, match=r"the model calls relu as a function \(2 times in a .* self.relu = nn.ReLU"
    ):
        smooth(Called())
    with pytest.raises(HardenerError, match="and the model has none: it has GELU, ReLU6. Set network.activation=keep"):
        smooth(nn.Sequential(nn.GELU(), nn.Flatten(), nn.ReLU6()))
    with pytest.raises(HardenerError, match="it has no activation that is a module"):
        smooth(nn.Sequential(nn.Flatten()))
    with pytest.raises(HardenerError, match="unknown activation 'sliu'. Known: keep, silu, .* Did you mean 'silu'"):
        smooth(Net(), "sliu")


@pytest.mark.parametrize(("file", "count"), [("cifar_resnet", 7), ("cifar_fast", 5), ("small_cnn", 3)])
def test_the_examples_can_be_made_smooth(file: str, count: int) -> None:
    network = load_model(str(EXAMPLES / f"{file}.py"), num_classes=10).network
    assert replace_activations(network, "silu", channels=3, height=32, width=32) == count
