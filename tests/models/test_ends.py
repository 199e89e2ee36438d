"""Answers that are probabilities are told, in either mode, with the line that makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from hardener.models.conditions import Conditions, Remark
from hardener.models.dry_run import dry_run
from hardener.models.head import look_at_answer
from hardener.models.normalize import ImageClassifier


class Net(nn.Module):
    def __init__(self, end: Callable[[bool, Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.end = nn.Linear(12, 3), end

    def forward(self, x: Tensor) -> Any:
        gate = torch.softmax(x.flatten(1), dim=1)
        return self.end(self.training, self.fc(gate))


def at_the_end(_: bool, x: Tensor) -> Tensor:
    return softmax(x, dim=1)


def remarks(end: Callable[[bool, Tensor], Any]) -> list[Remark]:
    classifier = ImageClassifier(Net(end), mean=(), std=(), classes="abc")
    return dry_run(classifier, Conditions(3, 2, 2, batch=4))


def test_the_last_softmax_is_named_and_no_other() -> None:
    (found,) = remarks(at_the_end)
    assert found.wrong
    assert f"ends in a Softmax (test_ends.py, line {at_the_end.__code__.co_firstlineno + 1})" in found.text


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda training, x: x if training else x.softmax(1), "probabilities in eval mode and logits in training"),
        (lambda _, x: x.exp() / x.exp().sum(1, keepdim=True), "are probabilities, whose sum is 1"),
        (lambda _, x: torch.sigmoid(x), "ends in a Sigmoid"),
    ],
)
def test_other_probabilities_are_told(end: Callable[[bool, Tensor], Tensor], told: str) -> None:
    (found,) = remarks(end)
    assert found.wrong
    assert told in found.text


def test_logarithms_of_probabilities_are_as_good_as_logits() -> None:
    (found,) = remarks(lambda _, x: log_softmax(x, dim=1))
    assert not found.wrong
    assert not remarks(lambda training, x: x if training else log_softmax(x, dim=1))


@pytest.mark.parametrize("end", [lambda _, x: (x, x.softmax(1)), lambda _, x: {"probs": x.softmax(1), "raw": x}])
def test_logits_are_taken_before_their_softmax(end: Callable[[bool, Tensor], Any]) -> None:
    answer = look_at_answer(Net(end), torch.rand(2, 3, 2, 2), 3)
    assert answer.way in {(0,), ("raw",)}
