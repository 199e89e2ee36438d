"""The suite `fast`: who is attacked when, that it finds what `standard` does, and when an evaluation goes on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn
from zoo import THREAT, digits, examine, exhibit

import hardener
from hardener.attacks.pma import pma
from hardener.evaluation.robust_accuracy import AttackPlan, Course, robust_accuracy
from hardener.evaluation.standing import FEWEST, Found, Standing
from hardener.evaluation.suite import suite_plans
from hardener.losses.margin import margin
from hardener.runtime import batch
from hardener.threat import NORMS, ThreatModel


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_it_leaves_the_share_of_points_farther_than_eps(norm: str) -> None:
    model, images, labels = linear_problem(60, (1, 4, 4), seed=2)
    weight = model.weight.detach()
    dual = {"linf": weight.abs().sum(), "l2": weight.norm(), "l1": weight.abs().max()}[norm]
    distance = model.margin(images).detach().abs() / dual
    eps = float(distance.quantile(0.55))
    found = robust_accuracy(model, images, labels, suite_plans("fast", norm), ThreatModel(norm, eps))
    assert int(found.robust_correct.sum()) <= int((distance > eps * 0.999).sum()) + (norm == "l1")
    assert (distance[~found.robust_correct] <= eps * 1.001).all()


def test_it_finds_on_an_honest_network_what_the_targeted_attack_of_the_standard_suite_finds() -> None:
    _, _, images, labels = digits()
    model, eps = exhibit("fgsm-rs").model, ThreatModel("linf", 0.15)
    left = {
        name: robust_accuracy(model, images, labels, plans, eps, generator=torch.Generator().manual_seed(0))
        for name, plans in (("fast", suite_plans("fast")), ("apgd-t", [AttackPlan("apgd-t", {"steps": 50})]))
    }
    assert left["fast"].robust_accuracy <= left["apgd-t"].robust_accuracy
    assert 0.1 < left["fast"].robust_accuracy < 0.9


@pytest.mark.parametrize("name", ["numpy median", "wrong gradient", "random noise", "huge logits"])
def test_no_masked_model_passes_it(name: str) -> None:
    seen = examine(name, tuple(suite_plans("fast")), samples=60)
    assert seen.verdict in {"not robust", "inconclusive"}, seen.reason


class Rows(nn.Module):
    """Gets every image right, remembers which it saw, and lets some fall where they are changed at all."""

    def __init__(self, weak: set[int]) -> None:
        super().__init__()
        self.weak, self.seen = weak, set[int]()

    def forward(self, images: Tensor) -> Tensor:
        number = (images[:, 0, 0, 0] * 50).round().long()
        self.seen |= set(number.tolist())
        changed = (images[:, 0, 0, 1] - 0.5).abs() > 0.05
        weak = torch.tensor([int(n) in self.weak for n in number])
        lead = torch.where(changed & weak, -1.0, 1.0 + number / 50)
        return torch.stack([lead, -lead], dim=1)


def rows(count: int = 40) -> tuple[Tensor, Tensor]:
    images = torch.full((count, 1, 1, 2), 0.5)
    images[:, 0, 0, 0] = torch.arange(count) / 50
    return images, torch.zeros(count, dtype=torch.int64)


SAMPLE = AttackPlan("square", {"queries": 2}, sample=4)
NEAR = ThreatModel("linf", 0.1)


@pytest.mark.parametrize(("weak", "attacked"), [(set(), 4), (set(range(40)), 40)])
def test_a_drawn_sample_is_attacked_and_the_others_only_if_one_of_it_falls(weak: set[int], attacked: int) -> None:
    images, labels = rows()
    images[:, 0, 0, 0] = images[:, 0, 0, 0].round(decimals=2)
    counted: list[int] = []
    model = Rows(weak)
    found = robust_accuracy(model, images, labels, [SAMPLE], NEAR, course=Course(on_attacked=counted.append))
    assert found.outcomes[0].attacked == attacked
    assert sum(counted) == 40


@pytest.mark.parametrize(("filled", "batches"), [(0, 3), (10**6, 1)])
def test_few_small_images_make_their_restarts_at_once_and_keep_the_best_of_each(
    monkeypatch: pytest.MonkeyPatch, filled: int, batches: int
) -> None:
    monkeypatch.setattr(batch, "FILLED", filled)
    images, labels = rows(8)
    images[:, 0, 0, 0] = images[:, 0, 0, 0].round(decimals=2)
    counted: list[int] = []
    ends: list[Standing] = []
    plan = AttackPlan("random-noise", {"draws": 1}, restarts=3)
    course = Course(on_attacked=counted.append, on_batch=ends.append)
    found = robust_accuracy(Rows(set()), images, labels, [plan], NEAR, course=course)
    assert len(ends) == batches
    assert sum(counted) == 3 * len(images)
    assert found.outcomes[0].attacked == len(images)
    assert found.robust_correct.all()


def test_of_several_starts_the_first_that_breaks_an_image_counts_and_else_the_nearest() -> None:
    points = torch.arange(6.0).view(6, 1, 1, 1)
    inf, nan = torch.inf, torch.nan
    found = Found(
        broken=torch.tensor([False, True, False, True, False, False]),
        answer=torch.arange(6),
        adversarial=points,
        distance=torch.tensor([inf, 0.3, inf, 0.2, inf, inf]),
        nearness=torch.tensor([-0.5, inf, nan, inf, -0.4, -0.1]),  # three starts of two images
        delta=points,
    ).best_of(3)
    assert found.broken.tolist() == [False, True]
    assert found.answer.tolist() == [4, 1]
    assert found.distance.tolist() == [inf, pytest.approx(0.2)]
    assert found.delta.flatten().tolist() == found.adversarial.flatten().tolist() == [4.0, 1.0]


def test_a_share_takes_those_that_are_nearest_to_another_class_and_a_few_at_least() -> None:
    state = Standing(torch.zeros(40), torch.ones(40, dtype=torch.bool))
    state.nearness = -torch.arange(40.0)
    assert state.choose(state.stands, share=0.5, sample=None).tolist() == list(range(20))
    assert state.choose(state.stands, share=0.01, sample=None).tolist() == list(range(FEWEST))
    assert len(state.choose(state.stands, share=1.0, sample=3)) == 3


def test_of_two_classes_too_the_images_nearest_to_the_other_one_are_attacked_last() -> None:
    model, images, labels = linear_problem(40, (1, 4, 4), seed=2)
    distance = model.margin(images).detach().abs() / model.weight.detach().abs().sum()
    eps = float(distance.min()) / 2  # all stand
    seen: list[Standing] = []
    plans = [AttackPlan("pma", {"steps": 2}), AttackPlan("pma", {"steps": 2}, share=0.5)]
    robust_accuracy(
        model, images, labels, plans, ThreatModel("linf", eps), course=Course(on_batch=seen.append, keep_examples=0)
    )
    (attacked,) = [state.choose(state.stands, share=0.5, sample=None) for state in seen[-1:]]
    assert set(attacked.tolist()) == set(distance.argsort()[:20].tolist())


def test_the_nearest_point_of_two_classes_is_not_the_first() -> None:
    model, images, labels = linear_problem(40, (1, 4, 4), seed=2)
    eps = float((model.margin(images).detach().abs() / model.weight.detach().abs().sum()).min()) / 2
    found = pma(model, images, labels, norm="linf", eps=eps, steps=5, random_start=False)
    assert (margin(model(found), labels) > margin(model(images), labels)).all()


def masked(images: Tensor) -> Tensor:
    return images.detach().round(decimals=1) + 0 * images


def evaluated(model: nn.Module, **asked: Any) -> Any:
    _, _, images, labels = digits()
    return hardener.evaluate(model, images[:24], labels[:24], eps=THREAT.eps / 2, **asked)


def test_where_the_audit_finds_masking_the_evaluation_goes_on_to_standard_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hardener.evaluation import suite

    short = tuple(
        plan.having(queries=60) if plan.name == "square" else plan.having(steps=3) for plan in suite._STANDARD
    )
    monkeypatch.setitem(suite.SUITES, "standard", short)
    net = exhibit("fgsm-rs").model

    class Masked(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = net(masked(images))
            return logits

    found = evaluated(Masked(), suite="fast")
    assert found.suite == "fast"
    assert found.went_on == "standard"
    assert "gradients-zero" in found.because
    told = [attack.settings for attack in found.attacks]
    plans = suite_plans("fast")
    told = told[: len(plans)]
    assert [settings.get("share", 1.0) for settings in told] == [plan.share for plan in plans]
    assert [settings.get("start") == "nearest point" for settings in told] == [plan.warm for plan in plans]
    names = [attack.name for attack in found.attacks]
    first = [plan.name for plan in plans]
    assert names[: len(first) + 4] == [*first, *(plan.name for plan in short)]
    assert "AutoAttack's standard suite" not in found.not_run
    honest = evaluated(net, suite="fast")
    assert honest.went_on is None
    assert honest.because == []
