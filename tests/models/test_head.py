"""The head is the layer that makes the logits, whatever else a network holds, and is replaced where it stands."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.answer import unwrap_logits
from hardener.models.head import auxiliary_heads, look_at_answer, replace_heads

IMAGES = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A body of 12 features, layers by name, and what to do with them."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.does = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.does(self, self.body(x))


def replaced(network: nn.Module, images: Tensor = IMAGES, num_classes: int = 4) -> tuple[str, ...]:
    """Replace the heads of a network with 7 outputs, see that it has `num_classes` then, and name them."""
    answer = look_at_answer(network, images)
    assert answer.outputs == 7
    heads = dict.fromkeys([*answer.heads, *auxiliary_heads(network, 7, images)])
    names = replace_heads(network, 7, num_classes, list(heads))
    with torch.no_grad():
        output = network.train(False)(images)
    assert unwrap_logits(output, width=num_classes).shape == (len(images), num_classes)
    return names


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (Net(lambda self, x: self.head(x), head=nn.Linear(12, 7), unused=nn.Linear(12, 7)), ("head",)),
        (Net(lambda self, x: self.head(x).softmax(1), head=nn.Linear(12, 7)), ("head",)),
        (Net(lambda self, x: self.head(x) * 3 + 1, head=nn.Linear(12, 7)), ("head",)),
        (Net(lambda self, x: (x, self.head(x)), head=nn.Linear(12, 7)), ("head",)),
        (Net(lambda self, x: {"f": x, "y": self.head(x)}, head=nn.Linear(12, 7)), ("head",)),
        (Net(lambda self, x: self.one(x) + self.two(x), one=nn.Linear(12, 7), two=nn.Linear(12, 7)), ("one", "two")),
        (Net(lambda self, x: [self.one(x), self.two(x)], one=nn.Linear(12, 7), two=nn.Linear(12, 7)), ("one", "two")),
        (Net(lambda self, x: self.last(self.head(x)), head=nn.Linear(12, 7), last=nn.Dropout()), ("head",)),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 7), nn.LogSoftmax(1)), ("1",)),
        (nn.Sequential(nn.Conv2d(3, 7, 4), nn.Flatten()), ("0",)),
        (nn.Sequential(nn.Conv2d(3, 7, 3, padding=1, dilation=1), nn.AdaptiveAvgPool2d(1)), ("0",)),
    ],
)
def test_heads_are_those_that_make_the_logits(network: nn.Module, names: tuple[str, ...]) -> None:
    assert replaced(network) == names


def test_auxiliary_heads_of_torchvisions_networks_are_replaced_too() -> None:
    network = torchvision.models.googlenet(num_classes=7, aux_logits=True, init_weights=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert set(auxiliary_heads(network, 7, torch.rand(2, 3, 224, 224))) == {"fc", "aux1.fc2", "aux2.fc2"}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(parameter.grad is not None for parameter in network.parameters())
    assert set(replaced(network, torch.rand(2, 3, 224, 224))) == {"fc", "aux1.fc2", "aux2.fc2"}


def test_the_fresh_head_is_like_the_old_one() -> None:
    old = nn.Linear(12, 7, bias=False).requires_grad_(False)
    network = Net(lambda self, x: self.head(x), head=old)
    replaced(network)
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    assert (head.in_features, head.weight.dtype, head.weight.requires_grad) == (12, torch.float32, True)
    assert "bias" not in dict(head.named_parameters())
    wide = Net(lambda self, x: self.head(x[:, :, None, None].expand(-1, -1, 3, 3)), head=nn.Conv2d(12, 7, (3, 2)))
    wide.does = lambda self, x: self.head(x[:, :, None, None].expand(-1, -1, 3, 2))
    replaced(wide)
    convolution = wide.get_submodule("head")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.kernel_size == (3, 2)


def test_layers_that_share_their_weights_share_the_fresh_ones() -> None:
    one, two = nn.Linear(12, 7), nn.Linear(12, 7)
    two.weight = one.weight
    network = Net(lambda self, x: [self.one(x), self.two(x)], one=one, two=two)
    assert replaced(network) == ("one", "two")
    assert network.get_submodule("one").weight is network.get_submodule("two").weight
    same = nn.Linear(12, 7)
    twice = Net(lambda self, x: [self.one(x), self.two(x * 2)], one=same, two=same)
    replaced(twice)
    assert twice.get_submodule("one") is twice.get_submodule("two")


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
def test_norms_of_weights_are_put_on_the_fresh_head() -> None:
    for norm in (
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.weight_norm,
    ):
        network = Net(lambda self, x: self.head(x), head=norm(nn.Linear(12, 7)))
        assert replaced(network) == ("head",)
        assert nn.utils.parametrize.is_parametrized(network.get_submodule("head"), "weight")


def test_what_a_network_calls_its_number_of_classes_is_changed_with_the_head() -> None:
    network = Net(lambda self, x: self.head(x).view(-1, self.config.num_labels), head=nn.Linear(12, 7))
    vars(network).update(config=SimpleNamespace(num_labels=7), num_labels=7)
    replaced(network)
    assert (vars(network)["config"].num_labels, vars(network)["num_labels"]) == (4, 4)


class Cosine(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, nn.functional.normalize(self.weight))


class Scaled(nn.Linear):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(width, outputs)
        self.scale = nn.Parameter(torch.ones(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


def test_a_linear_layer_of_ones_own_class_gets_fresh_weights_and_stays_of_that_class() -> None:
    network = Net(lambda self, x: self.head(x), head=Cosine(12, 7))
    before = network.get_submodule("head")
    assert replaced(network) == ("head",)
    after = network.get_submodule("head")
    assert isinstance(after, Cosine)
    assert (after.out_features, after.weight.shape, after.bias.shape) == (4, (4, 12), (4,))
    assert isinstance(before, Cosine)
    assert before.weight.shape == (7, 12)


def test_what_is_no_plain_layer_is_refused_in_words() -> None:
    for network, made_by in (
        (Net(lambda self, x: self.head(x), head=Scaled(12, 7)), "they are made by head, a Scaled"),
        (Net(lambda self, x: self.head(x, x), head=nn.Bilinear(12, 12, 7)), "they are made by head, a Bilinear"),
        (Net(lambda self, x: x[:, :7]), "no final linear layer with 7 outputs to replace"),
        (
            Net(
                lambda self, x: self.head(x),
                head=nn.utils.parametrizations.orthogonal(nn.Linear(12, 7)),
            ),
            "head, whose weight is made by _Orthogonal",
        ),
    ):
        with pytest.raises(HardenerError, match=made_by):
            replaced(network)


def test_looking_uses_no_random_number_and_changes_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.Linear(16, 7))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    look_at_answer(network, IMAGES)
    auxiliary_heads(network, 7, IMAGES)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
