from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracles import linear_problem

from hardener.evaluation.lending import lend_sweep
from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy, robust_accuracy
from hardener.measures.eps_curve import swept_curve
from hardener.measures.mean_accuracy import measure
from hardener.measures.run import Case
from hardener.threat import NORMS, ThreatModel, show_eps, with_rounding


def problem(norm: str, *, share: float = 0.6) -> tuple[Case, torch.Tensor]:
    model, images, labels = linear_problem(100, (1, 4, 4), seed=2)
    labels[:5] = 1 - labels[:5]
    weight = model.weight.detach()
    dual = {"linf": weight.abs().sum(), "l2": weight.norm(), "l1": weight.abs().max()}[norm]
    distance = model.margin(images).detach().abs() / dual
    distance[:5] = 0
    case = Case(
        model, images, labels, tuple(map(str, range(100))), distance > 0,
        ThreatModel(norm, float(distance.quantile(share))), sweep=lend_sweep(model, norm=norm, batch_size=64),
    )  # fmt: skip
    return case, distance


@pytest.mark.parametrize("norm", NORMS)
def test_on_a_linear_model_it_is_the_mean_share_of_eps_below_each_distance(norm: str) -> None:
    case, distance = problem(norm)
    found = measure(case)
    exact = float((distance / case.ball.eps).clamp(0, 1).mean())
    figure = found.record.figures[0]
    assert exact - 1e-4 <= figure.value <= exact + 0.03
    assert figure.interval[0] < figure.value < figure.interval[1]
    assert figure.name == f"mean-{norm}-{show_eps(case.ball.eps)}"
    assert found.values is not None
    assert (found.values[:5] == 0).all()


def test_the_curve_swept_from_the_largest_eps_down_is_the_share_of_points_farther_than_eps() -> None:
    case, distance = problem("linf")
    assert case.sweep is not None
    curve = swept_curve(case, case.sweep)
    assert curve.points[0].accuracy == 0.95
    for point in curve.points:
        exact = float((distance > point.parameter).double().mean())
        assert exact <= point.accuracy + 1e-9 <= exact + 0.03
    assert curve.points[-1].accuracy <= 0.5


def test_without_gradients_it_is_not_measured() -> None:
    case, _ = problem("linf")
    blind = Case(case.model, case.pixels, case.labels, case.paths, case.clean_correct, case.threat)
    assert measure(blind).record is None


def attacked(norm: str, share: float) -> tuple[Case, RobustAccuracy]:
    """Grey levels, attacked for true: what fell lies on the border of the ball, a rounding beyond it or not."""
    case, distance = problem(norm)
    levels = (case.pixels * 255).round().to(torch.uint8)
    threat = ThreatModel(norm, float(distance.quantile(share)))
    found = robust_accuracy(case.model, levels, case.labels, [AttackPlan("pgd")], threat)
    return replace(
        case, pixels=levels, threat=threat, clean_correct=found.clean_correct, distance=found.distance.clone()
    ), found


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("norm", NORMS)
def test_what_fell_on_the_border_of_the_ball_is_swept_like_all_that_fell(norm: str, share: float) -> None:
    case, found = attacked(norm, share)
    eps = case.ball.eps
    assert (found.distance[~found.robust_correct] <= with_rounding(eps)).all()
    mean = measure(case)
    assert mean.values is not None
    weight = next(case.model.parameters()).detach()
    dual = {"linf": weight.abs().sum(), "l2": weight.norm(), "l1": weight.abs().max()}[norm]
    logits = case.model(case.pixels / 255).detach()
    exact = (logits[:, 1] - logits[:, 0]).abs() / dual
    fell = ~found.robust_correct & (exact < 0.85 * eps)  # from 7/8 of eps on, the sweep can say more
    assert fell.sum() > 10
    assert (mean.values[fell] < 1).all()
    assert (mean.values[found.robust_correct] == 1).all()
    assert found.robust_accuracy <= mean.record.figures[0].value <= found.clean_accuracy
    afresh = measure(replace(case, distance=None))
    assert mean.record.figures[0].value == pytest.approx(afresh.record.figures[0].value, abs=0.02)


def test_the_mean_is_the_area_below_the_curve_of_the_same_record() -> None:
    case, found = attacked("linf", 0.9)
    assert case.sweep is not None
    curve = swept_curve(case, case.sweep)
    eps = case.ball.eps
    points = [(p.parameter, p.accuracy) for p in curve.points if p.parameter < eps] + [(eps, found.robust_accuracy)]
    low, high = (sum((b - a) * level for (a, _), (b, _), level in zip(points, points[1:], levels, strict=False)) / eps
                 for levels in ([y for _, y in points[1:]], [y for _, y in points]))  # fmt: skip
    assert low - 0.02 <= measure(case).record.figures[0].value <= high + 0.02


def test_a_border_of_half_a_grey_level_counts_as_reached() -> None:
    """A float32 sum is off by up to 3e-8 in any pixel, which is more than a hundred thousandth of so small an eps."""
    eps = 0.5 / 255
    images = torch.arange(256) / 255
    found = ((images + eps) - images).abs()
    assert (found > eps * (1 + 1e-5)).any()
    assert (found <= with_rounding(eps)).all()
    assert with_rounding(eps) < 1.001 * eps
