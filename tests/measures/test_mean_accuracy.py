from __future__ import annotations

import pytest
import torch
from oracles import linear_problem

from hardener.evaluation.lending import lend_sweep
from hardener.measures.eps_curve import swept_curve
from hardener.measures.mean_accuracy import measure
from hardener.measures.run import Case
from hardener.threat import NORMS, ThreatModel, show_eps


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
