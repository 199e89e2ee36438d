"""What suites and costs go by: the facts of each attack's entry."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn

from hardener.attacks import ATTACKS
from hardener.catalog import resolve
from hardener.evaluation.robust_accuracy import AttackPlan
from hardener.evaluation.suite import SUITES, most_passes

CONSTANT = 21
"""Passes that an attack may make besides, however many steps it takes: clean images, the last look, noise drawn."""


class Unmoved(nn.Module):
    """Answers so surely that every image stands to the end, and counts the images that it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 256).view(64, 4))
        self.forwards = self.gradients = 0

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.tensor([1e4, 0.0, 1.0, 2.0]) + images.flatten(1) @ self.weight
        if images.requires_grad:
            logits.register_hook(self.count_gradient)  # one answer may be asked for the gradient of each class
        else:
            self.forwards += len(images)
        return logits

    def count_gradient(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)


def passes(attack: str, norm: str, times: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Count the passes of an attack on one image, and those that its entry allows."""
    run, model = resolve(ATTACKS, attack, "attack"), Unmoved()
    wanted = {"steps": 10 * times, "queries": 320 * times}
    plan = AttackPlan(attack, {k: v for k, v in wanted.items() if k in inspect.signature(run).parameters}).lent(model)
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(1, 1, 8, 8, generator=generator), torch.zeros(1, dtype=torch.int64)
    run(model, images, labels, norm=norm, eps=0.04, generator=generator, **plan.settings)
    return (model.forwards, model.gradients), most_passes(plan, 4, norm)


@pytest.mark.parametrize(
    ("attack", "norm"),
    [(name, norm) for name, entry in ATTACKS.items() if entry.extra is None for norm in entry.norms],
)
def test_an_attack_makes_the_passes_that_its_entry_says(attack: str, norm: str) -> None:
    found = [passes(attack, norm, times) for times in (1, 2)]
    for (forwards, gradients), (most_forwards, most_gradients) in found:
        assert forwards <= most_forwards + CONSTANT
        assert gradients <= most_gradients + CONSTANT
    grown, most_grown = (found[1][place][1] - found[0][place][1] for place in (0, 1))
    if "gradient" in ATTACKS[attack].families:
        assert grown in {0, most_grown}, "in steps it goes as its entry says, unless it ends by itself"
    assert 0 <= grown <= most_grown, "what ends at the boundary may do so at any step"


def test_every_suite_gives_an_alarm_where_a_blind_attack_finds_more() -> None:
    """What sees no gradient comes after what does."""
    for plans in SUITES.values():
        blind = [plan.entry.is_blind for plan in plans if not plan.everywhere]
        assert blind == sorted(blind)
