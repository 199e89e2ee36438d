"""What is trained is what is judged: the tensor of training that eval mode answers with is taken."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.conditions import Conditions
from hardener.models.dry_run import dry_run
from hardener.models.head import look_at_answer
from hardener.models.normalize import ImageClassifier

TRAINING = Conditions(channels=3, height=4, width=4, batch=4)
IMAGES = TRAINING.images(4)


class Exits(nn.Module):
    """Two heads behind a body; `returns` says what comes out of them."""

    def __init__(self, returns: Callable[[Any, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout())
        self.aux, self.fc = nn.Linear(16, 3), nn.Linear(16, 3)
        self.returns = returns

    def forward(self, x: Tensor) -> Any:
        x = self.body(x)
        return self.returns(self, self.aux(x), self.fc(x))


def tried(network: nn.Module) -> tuple[ImageClassifier, list[str]]:
    answer = look_at_answer(network, IMAGES, 3)
    classifier = ImageClassifier(network, mean=(), std=(), classes="abc")
    classifier.way, classifier.heads = answer.way, answer.heads
    return classifier, [remark.text for remark in dry_run(classifier, TRAINING)]


@pytest.mark.parametrize(
    ("returns", "way"),
    [
        (lambda net, aux, fc: (aux, fc) if net.training else fc, (1,)),
        (lambda net, aux, fc: [aux, [fc]] if net.training else fc, (1, 0)),
        (lambda net, aux, fc: {"aux": aux, "main": fc} if net.training else fc, ("main",)),
        (lambda net, aux, fc: (aux, fc) if net.training else (fc, aux), (1,)),
        (lambda net, aux, fc: (aux, fc * 2) if net.training else fc, (1,)),  # by the layer that made it
    ],
)
def test_training_takes_the_tensor_that_eval_mode_answers_with(returns: Any, way: Any) -> None:
    classifier, told = tried(Exits(returns))
    assert classifier.way_in_training == way
    assert any("is the answer of eval mode, and is trained" in line for line in told)
    classifier.train()
    classifier(IMAGES).sum().backward()
    reached = {name for name, p in classifier.network.named_parameters() if p.grad is not None and p.grad.any()}
    assert "fc.weight" in reached
    assert "aux.weight" not in reached


def test_a_network_with_its_logits_first_is_trained_as_before() -> None:
    classifier, told = tried(Exits(lambda net, aux, fc: (fc, aux) if net.training else fc))
    assert classifier.way_in_training is None
    assert not any("eval mode" in line for line in told)
    assert tried(Exits(lambda net, aux, fc: fc + aux))[0].way_in_training is None


def test_a_head_that_answers_in_eval_mode_alone_is_told() -> None:
    _, told = tried(Exits(lambda net, aux, fc: aux if net.training else fc))
    assert any("the answer in eval mode is made by fc, which does not learn" in line for line in told)


class Copied(nn.Module):
    """Answers in eval mode by a copy; `moves`: the copy follows in training."""

    def __init__(self, *, moves: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
        self.ema = copy.deepcopy(self.net)
        self.ema.requires_grad_(False)
        self.moves = moves

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.moves:
            with torch.no_grad():
                for one, other in zip(self.ema.parameters(), self.net.parameters(), strict=True):
                    one.lerp_(other, 0.1)
        found: Tensor = self.net(x) if self.training else self.ema(x)
        return found


def test_a_copy_that_answers_in_eval_mode_and_never_learns_is_refused() -> None:
    network = Copied(moves=False)
    before = copy.deepcopy(network.state_dict())
    classifier = ImageClassifier(network, mean=(), std=(), classes="abc")
    with pytest.raises(HardenerError, match=r"does not change the answer in eval mode.*\(ema\)"):
        dry_run(classifier, TRAINING)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    dry_run(ImageClassifier(Copied(moves=True), mean=(), std=(), classes="abc"), TRAINING)
