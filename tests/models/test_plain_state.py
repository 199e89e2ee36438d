"""What training changes and no run saves is told before training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardener.models.conditions import Conditions
from hardener.models.dry_run import dry_run
from hardener.models.normalize import ImageClassifier
from hardener.models.plain_state import plain_state, plain_state_kept

TRAINING = Conditions(channels=3, height=4, width=4, batch=4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(48, 3)
        self.center, self.alpha, self.calls, self.seen = torch.zeros(48), 1.0, 0, torch.zeros(0)
        self.means = [torch.zeros(48), torch.zeros(48)]

    def changes(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.training:
            self.changes(x.detach())
        self.seen = x * torch.rand(()) if self.training else x
        found: Tensor = self.fc((x - self.center - self.means[0]) * self.alpha)
        return found


class Centers(Net):
    def changes(self, x: Tensor) -> None:
        self.center = 0.999 * self.center + 0.001 * x.mean(0)


class InPlace(Net):
    def changes(self, x: Tensor) -> None:
        self.center.mul_(0.999).add_(x.mean(0), alpha=0.001)


class InAList(Net):
    def changes(self, x: Tensor) -> None:
        self.means[0] = 0.999 * self.means[0] + 0.001 * x.mean(0)


class Anneals(Net):
    def changes(self, x: Tensor) -> None:
        self.alpha = max(0.0, self.alpha - 0.0005)


class Counts(Net):
    def changes(self, x: Tensor) -> None:
        self.calls += 1


class Keeps(Net):
    def __init__(self) -> None:
        super().__init__()
        del self.center, self.alpha
        self.register_buffer("center", torch.zeros(48))
        self.register_buffer("alpha", torch.tensor(1.0))

    def changes(self, x: Tensor) -> None:
        self.center = 0.999 * self.center + 0.001 * x.mean(0)
        self.get_buffer("alpha").fill_(max(0.0, float(self.alpha) - 0.0005))


def told(network: nn.Module) -> list[Any]:
    remarks = dry_run(ImageClassifier(network, mean=(), std=(), classes="abc"), TRAINING)
    return [remark for remark in remarks if "in training" in remark.text]


@pytest.mark.parametrize(
    ("kind", "name", "advice"),
    [
        (Centers, "center", 'self.register_buffer("center", TENSOR)'),
        (InPlace, "center", 'self.register_buffer("center", TENSOR)'),
        (InAList, "means", 'self.register_buffer("means", TENSOR)'),
        (Anneals, "alpha", "self.alpha.fill_(NEW) in place of self.alpha = NEW"),
    ],
)
def test_a_plain_attribute_that_the_answers_depend_on_is_warned_of(kind: type[Net], name: str, advice: str) -> None:
    (remark,) = told(kind())
    assert remark.wrong
    assert remark.text.startswith(f"{kind.__name__}.{name} changes in training, and the answers depend on it.")
    assert advice in remark.text


def test_a_counter_is_told_and_what_is_saved_or_written_anew_is_not() -> None:
    (remark,) = told(Counts())
    assert not remark.wrong
    assert remark.text.startswith("Counts.calls changes in training and is not saved")
    assert told(Keeps()) == told(Net()) == []


@pytest.mark.parametrize("kind", [Centers, InPlace, InAList, Anneals, Counts])
def test_looking_for_it_changes_nothing_of_it(kind: type[Net]) -> None:
    network = kind()
    held, before = network.center, plain_state(network)
    with plain_state_kept(network):
        for _ in range(2):
            network.train()(TRAINING.images(2))
    after = plain_state(network)
    assert network.center is held
    for one in ("center", "alpha", "calls"):
        assert torch.equal(torch.as_tensor(before[network, one]), torch.as_tensor(after[network, one]))
    assert all(map(torch.equal, before[network, "means"], after[network, "means"]))
