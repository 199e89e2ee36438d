from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hardener.models.load import load_model
from hardener.models.normalize import ImageClassifier
from hardener.training.groups import parameter_groups

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def levels(network: nn.Module) -> list[list[str]]:
    """Names by level, from the input up, told by their scale; each level's scale is half the next one's."""
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, lr=3.0, weight_decay=0.1, layer_decay=0.5)
    assert [group["lr_scale"] for group in groups] == [0.5**above for above in reversed(range(len(groups)))]
    assert [group["lr"] for group in groups] == [3.0 * group["lr_scale"] for group in groups]
    assert {group["weight_decay"] for group in groups} == {0.1}
    found = [[names[parameter] for parameter in group["params"]] for group in groups]
    assert sorted(name for level in found for name in level) == sorted(names.values())
    return found


def tops(network: nn.Module, parts: int) -> list[list[str]]:
    """The same, names cut after some parts, once each."""
    return [list(dict.fromkeys(".".join(name.split(".")[:parts]) for name in level)) for level in levels(network)]


def test_without_decay_there_is_one_group_in_the_networks_order() -> None:
    network = load_model(str(EXAMPLES / "small_cnn.py"), num_classes=10).network
    (group,) = parameter_groups(network, lr=0.1, weight_decay=5e-4)
    assert all(a is b for a, b in zip(group.pop("params"), network.parameters(), strict=True))
    assert group == {"lr": 0.1, "weight_decay": 5e-4, "lr_scale": 1.0}


def test_a_norm_belongs_to_the_level_before_it_and_a_block_is_one_level() -> None:
    network = load_model(str(EXAMPLES / "cifar_fast.py"), num_classes=10).network
    assert tops(network, 1) == [["0"], ["1"], ["2"], ["3"], ["4", "5"], ["9"]]
    classifier = ImageClassifier(network, mean=[0.5] * 3, std=[0.2] * 3, classes=list("abcdefghij"))
    assert tops(classifier, 2)[-1] == ["network.9"]


@pytest.mark.parametrize(
    ("spec", "parts", "first", "last", "count"),
    [
        ("torchvision:resnet18", 2, ["conv1.weight", "bn1.weight", "bn1.bias"], ["fc.weight", "fc.bias"], 10),
        ("torchvision:vit_b_16", 2, ["class_token", "conv_proj.weight", "conv_proj.bias"], ["heads.head"], 14),
        ("timm:vit_tiny_patch16_224", 1, ["cls_token", "pos_embed", "patch_embed"], ["head"], 14),
        ("timm:test_resnet", 1, ["conv1"], ["fc"], 8),
    ],
)
def test_known_networks_count_their_blocks(
    spec: str, parts: int, first: list[str], last: list[str], count: int
) -> None:
    """The twelve blocks of a ViT, a level below for its patches and one above for its head: BEiT's rule."""
    with torch.device("meta"):
        network = load_model(spec, num_classes=7).network
    found = tops(network, parts)
    assert (found[0], found[-1], len(found)) == (first, last, count)


def test_frozen_levels_count_and_are_in_no_group() -> None:
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    network[1].requires_grad_(False)
    network[2].bias.requires_grad_(False)
    groups = parameter_groups(network, lr=1.0, weight_decay=0.0, layer_decay=0.1)
    assert [len(group["params"]) for group in groups] == [2, 1, 2]
    assert [group["lr_scale"] for group in groups] == pytest.approx([1e-3, 1e-1, 1.0])


def test_a_tied_parameter_is_in_one_group_where_it_stands_first() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.head = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.head(self.two(self.one(x)))
            return found

    assert levels(Tied()) == [["one.weight", "one.bias", "two.bias"], ["head.weight", "head.bias"]]


def test_an_optimizer_keeps_the_scale_through_its_checkpoint() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    first, again = (
        torch.optim.AdamW(parameter_groups(network, lr=0.1, weight_decay=0.0, layer_decay=0.5)) for _ in range(2)
    )
    again.load_state_dict(first.state_dict())
    assert [group["lr_scale"] for group in again.param_groups] == [0.5, 1.0]
