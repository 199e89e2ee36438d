"""A network is tried as it will be used, and is left as it was found."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.conditions import Conditions
from hardener.models.dry_run import dry_run, settle_order
from hardener.models.normalize import ImageClassifier

TRAINING = Conditions(channels=3, height=4, width=4, batch=4)
EVALUATION = Conditions(channels=3, height=4, width=4)


class Net(nn.Module):
    def __init__(self, flatten: str = "flatten") -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop, self.fc = nn.Dropout(), nn.Linear(16, 3)
        self.flat = flatten

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        x = x.view(x.size(0), -1) if self.flat == "view" else x.flatten(1)
        found: Tensor = self.fc(self.drop(x))
        return found


def classifier(network: nn.Module) -> ImageClassifier:
    return ImageClassifier(network, mean=(), std=(), classes="abc")


@pytest.mark.parametrize("conditions", [TRAINING, EVALUATION])
@pytest.mark.parametrize("flatten", ["flatten", "view"])
def test_nothing_but_the_way_images_go_in_is_changed(conditions: Conditions, flatten: str) -> None:
    one = classifier(Net(flatten))
    one.network.get_submodule("norm").eval()
    next(one.parameters()).grad = torch.ones(4, 3, 3, 3)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    modes = [module.training for module in one.modules()]
    state = torch.get_rng_state()
    remarks = dry_run(one, conditions)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
    assert all(value.is_contiguous() for value in one.state_dict().values())
    assert [module.training for module in one.modules()] == modes
    assert [p.grad is not None for p in one.parameters()] == [True, *[False] * 5]
    assert one.contiguous == (flatten == "view")
    assert ["images go in as contiguous" in remark.text for remark in remarks] == [True] * (flatten == "view")
    assert not one.writes


def test_only_an_evaluation_lets_answers_pass_that_are_not_finite() -> None:
    class Broken(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 0 * 0

    dry_run(classifier(Broken()), EVALUATION)  # its audit has a question for that
    with pytest.raises(HardenerError, match="answers NaN or infinite numbers to 3 images of 3 x 4 x 4"):
        dry_run(classifier(Broken()), TRAINING)


def test_a_start_far_too_large_is_told_before_training() -> None:
    large = Net()
    with torch.no_grad():
        for parameter in large.get_submodule("fc").parameters():
            parameter.mul_(1e9)
    assert ["its first weights are too large" in one.text for one in dry_run(classifier(large), TRAINING)] == [True]
    assert not dry_run(classifier(large), EVALUATION)


def test_settling_the_order_leaves_faults_for_later() -> None:
    class Fails(Net):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("always")

    one = classifier(Fails())
    settle_order(one, EVALUATION)
    assert not one.contiguous
    viewing = classifier(Net("view"))
    settle_order(viewing, EVALUATION)
    assert viewing.contiguous


def test_bfloat16_that_a_network_does_not_run_in_is_told_from_its_other_faults() -> None:
    class Exact(Net):
        def forward(self, x: Tensor) -> Tensor:
            found = super().forward(x)
            if found.dtype != torch.float32:
                raise TypeError("float32 alone")
            return found

    settings: dict[str, Any] = {"channels": 3, "height": 4, "width": 4, "batch": 4, "autocast": True}
    with pytest.raises(HardenerError, match="float32 alone .* It runs in float32: pass --precision float32."):
        dry_run(classifier(Exact()), Conditions(**settings))
    assert dry_run(classifier(Exact()), TRAINING) == []


@pytest.mark.parametrize(("stride", "channels", "contiguous"), [(2, 3, True), (1, 3, False), (2, 16, False)])
def test_a_layer_whose_gradient_damages_memory_is_not_run_in_channels_last(
    stride: int, channels: int, contiguous: bool
) -> None:
    network = nn.Sequential(nn.Conv2d(channels, 4, 1, stride), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    for batch in (4, None):
        one = classifier(network)
        told = dry_run(one, Conditions(channels=channels, height=8, width=8, batch=batch))
        assert one.contiguous == contiguous
        assert ["torch's gradient of 0 in channels_last damages memory" in one.text for one in told] == [
            True
        ] * contiguous


@pytest.mark.parametrize("fails", [True, False])
def test_a_network_that_takes_no_image_alone_is_given_it_twice(fails: bool) -> None:
    class Squeezing(Net):
        def forward(self, x: Tensor) -> Tensor:
            gate = self.conv(x).mean((2, 3)).squeeze()
            found: Tensor = super().forward(x) * (gate.softmax(dim=1)[:, :3] if fails else gate.dim())
            return found

    said = (
        r"^the model takes no image alone, since \.squeeze\(\) \(test_dry_run.py, line \d+\) takes away a batch of one "
        "as well: one is given twice$"
    )
    asked = classifier(Squeezing()).eval()
    assert [re.match(said, remark.text) is not None for remark in dry_run(asked, TRAINING)] == [True]
    images = torch.rand(3, 3, 4, 4)
    torch.testing.assert_close(torch.cat([asked(image[None]) for image in images]), asked(images))
