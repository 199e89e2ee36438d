"""An answer that is NaN is none: it is wrong, whatever the class."""

from __future__ import annotations

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn

from hardener.evaluation.audit import audit
from hardener.evaluation.case import Examined
from hardener.evaluation.failures import count_confused
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.measures.calibration import measure_calibration
from hardener.measures.certification import Smoothing, measure_certification
from hardener.measures.invariance import measure_invariances
from hardener.runtime.answers import chosen_class
from hardener.threat import ThreatModel


class Silent(nn.Module):
    """Answers nothing to images whose first pixel lies above a bound."""

    def __init__(self, model: nn.Module, bound: float) -> None:
        super().__init__()
        self.model, self.bound = model, bound

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return torch.where((images[:, :1, 0, 0] > self.bound), torch.nan, logits)


def test_no_class_is_chosen_where_the_largest_logit_is_no_number() -> None:
    nan, inf = torch.nan, torch.inf
    rows = [[1.0, 2.0, 0.0], [nan, 1.0, 0.0], [1.0, 0.0, nan], [inf, 0.0, 1.0], [-inf, 0.0, 1.0], [-inf, -inf, -inf]]
    assert chosen_class(torch.tensor(rows)).tolist() == [1, -1, -1, -1, 2, -1]
    assert chosen_class(torch.zeros(0, 3)).tolist() == []


def test_images_without_an_answer_are_wrong_in_every_figure() -> None:
    model, images, labels = linear_problem(12, (1, 4, 4), seed=1)
    labels = torch.zeros_like(labels)  # the class that argmax names where all is NaN
    silent = Silent(model, -1.0)
    found = robust_accuracy(silent, images, labels, [], ThreatModel("linf", 0.05))
    assert not found.clean_correct.any()
    assert set(found.predictions.tolist()) == {-1}
    assert count_confused(labels, found.predictions, ("a", "b")) == []
    record, radius = measure_certification(silent, images, labels, Smoothing(0.1, selection_draws=4, draws=200))
    assert record.smoothed_accuracy == 0
    assert radius.isnan().all()
    assert all(point.accuracy == 0 for point in record.points)
    turned = measure_invariances(silent, images, labels)
    assert {value for curve in turned for value in (point.accuracy for point in curve.points)} == {0}


def test_an_image_without_an_answer_has_no_confidence() -> None:
    model, images, labels = linear_problem(30, (1, 4, 4), seed=2)
    bound = float(images[:, 0, 0, 0].median())
    answered = images[:, 0, 0, 0] <= bound
    found = measure_calibration(Silent(model, bound), images, labels)
    alone = measure_calibration(model, images[answered], labels[answered])
    assert found.samples == alone.samples == 15
    assert found.expected_error == pytest.approx(alone.expected_error)
    assert [one.count for one in found.bins] == [one.count for one in alone.bins]
    assert measure_calibration(Silent(model, -1.0), images, labels).samples == 0


@pytest.mark.parametrize("name", ["square", "pgd"])
def test_an_attack_that_finds_no_answer_has_broken_the_image(name: str) -> None:
    model, images, labels = linear_problem(30, (1, 4, 4), seed=2)
    first = images[:, 0, 0, 0]
    bound = float(first.median())
    silent, labels = Silent(model, bound), chosen_class(model(images))
    found = robust_accuracy(silent, images, labels, [AttackPlan(name)], ThreatModel("linf", 0.05))
    assert not found.clean_correct[first > bound].any()
    assert not found.robust_correct[first > bound].any()
    told = next(check for check in audit(Examined(silent, images, labels), found).checks if check.id == "not-finite")
    assert told.raised
    assert "Of the run, 15 of 30 images got no answer, and count as wrong" in told.answer


class LeavesOut(nn.Module):
    """Has a third class that it never names, and noise of some size on the others."""

    def __init__(self, model: nn.Module, noise: float = 0.0) -> None:
        super().__init__()
        self.model, self.noise = model, noise

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        noisy = logits + self.noise * torch.randn_like(logits)
        return torch.cat([noisy, torch.full_like(logits[:, :1], -torch.inf)], dim=1)


class InCompany(LeavesOut):
    """Answers otherwise where an image comes alone."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return logits if len(images) > 1 else 2 * logits


def flags_of_an_audit(model: nn.Module) -> set[str]:
    _, images, labels = linear_problem(40, (1, 4, 4), seed=2)
    run = robust_accuracy(model, images, labels, [AttackPlan("pgd")], ThreatModel("linf", 0.01))
    generator = torch.Generator().manual_seed(0)
    return {
        check.id for check in audit(Examined(model, images, labels, generator=generator), run).checks if check.raised
    }


def test_a_class_left_out_by_minus_infinity_is_no_fault() -> None:
    model, _, _ = linear_problem(40, (1, 4, 4), seed=2)
    assert flags_of_an_audit(LeavesOut(model)) == set()


def test_a_model_that_leaves_a_class_out_is_asked_twice_like_any_other() -> None:
    model, _, _ = linear_problem(40, (1, 4, 4), seed=2)
    assert "answers-differ" in flags_of_an_audit(LeavesOut(model, 0.1))
    assert "batch-dependent" in flags_of_an_audit(InCompany(model))


def test_a_largest_logit_of_plus_infinity_is_one() -> None:
    model, _, _ = linear_problem(40, (1, 4, 4), seed=2)
    endless = LeavesOut(model)
    endless.register_forward_hook(lambda module, given, logits: -logits)
    assert "not-finite" in flags_of_an_audit(endless)
