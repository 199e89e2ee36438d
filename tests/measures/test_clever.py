from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from oracles import linear_problem
from scipy.optimize import minimize
from scipy.stats import weibull_max
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.measures.clever import Search, measure_clever, upper_ends
from hardener.threat import NORMS

QUICK: dict[str, Any] = {"batches_per_image": 3, "draws_per_batch": 2}
DUAL = {"linf": 1, "l2": 2}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_model_it_is_the_distance_from_the_plane_and_at_most_the_radius(norm: str) -> None:
    """Weng et al., ICLR 2018: where the gradient is constant, the score is the margin over its dual norm."""
    model, images, labels = linear_problem(30, (1, 3, 4), seed=1)
    distance = model.margin(images).detach().abs() / model.weight.detach().norm(DUAL[norm])
    radius = float(distance.median())
    done: list[int] = []
    record, scores = measure_clever(
        model, images, labels, Search(radius, **QUICK), norm=norm, batch_size=17, on_done=done.append
    )
    torch.testing.assert_close(scores, distance.clamp_max(radius).double(), rtol=1e-5, atol=1e-7)
    assert record is not None
    assert record.mean == pytest.approx(float(scores.mean()))
    assert record.quartiles == pytest.approx(np.quantile(scores.numpy(), [0.25, 0.5, 0.75]))
    assert (record.samples, record.norm, record.batches, record.batch_size) == (30, norm, 3, 2)
    assert sum(done) == 30


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("settings", [{}, {"slack": math.inf}, {"targets": 3}])
def test_with_many_classes_it_is_the_least_over_them(norm: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(12, 7)
    model = nn.Sequential(nn.Flatten(), linear)
    images = torch.rand(20, 3, 2, 2)
    with torch.no_grad():
        logits = model(images)
        labels = logits.argmax(dim=1)
        weight = linear.weight
        gap = (weight[labels].unsqueeze(1) - weight).norm(DUAL[norm], dim=2)
        away = (logits.gather(1, labels.unsqueeze(1)) - logits).scatter(1, labels.unsqueeze(1), math.inf)
        if "targets" in settings:
            away = torch.where(away <= away.kthvalue(3, dim=1, keepdim=True).values, away, math.inf)
        expected = (away / gap).amin(dim=1)
    _, scores = measure_clever(
        model,
        images,
        labels,
        Search(9.0, **QUICK, **settings),
        norm=norm,
        batch_size=16,
    )
    torch.testing.assert_close(scores, expected.double(), rtol=1e-4, atol=1e-6)


def test_on_a_bowl_it_finds_the_steepest_point_of_the_ball() -> None:
    """margin(x) = 1 + a |x - x0|^2 / 2 + w.x has gradients up to |w| + a R in the l2 ball around x0."""
    weight, bend, radius = torch.tensor([0.6, 0.8]), 2.0, 0.2
    start = torch.full((2,), 0.5)

    class Bowl(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            delta = images.flatten(1) - start
            margin = 0.1 + delta @ weight + bend / 2 * delta.square().sum(dim=1)
            return torch.stack([margin, torch.zeros_like(margin)], dim=1)

    _, scores = measure_clever(
        Bowl(),
        start.view(1, 1, 1, 2),
        torch.zeros(1, dtype=torch.int64),
        Search(radius, draws_per_batch=100),
        norm="l2",
        generator=torch.Generator().manual_seed(0),
        batch_size=5000,
    )
    assert float(scores[0]) == pytest.approx(0.1 / (1 + bend * radius), rel=0.01)


def profile(values: NDArray[np.float64], location: float) -> float:
    """The log-likelihood of the reverse Weibull law with this location, at its best shape >= 1 and scale."""
    start = (2.0, location - float(values.mean()))
    found = minimize(
        lambda rest: weibull_max.nnlf((rest[0], location, rest[1]), values),
        start,
        method="Nelder-Mead",
        bounds=[(1, 100), (1e-3, 100)],
    )
    return -float(found.fun)


@pytest.mark.parametrize("shape", [1.0, 1.3, 3.0, 12.0])
def test_no_location_is_likelier_than_the_estimate(shape: float) -> None:
    """scipy's likelihood, on a finer grid; near 5, where the values end, as far as 200 values can tell."""
    values = weibull_max.rvs(shape, loc=5.0, scale=1.0, size=200, random_state=np.random.default_rng(0))
    (found,) = upper_ends(values[None])
    others = values.max() + np.ptp(values) * np.geomspace(1.1e-4, 1.9, 21)
    assert profile(values, found) >= max(profile(values, other) for other in others) - 0.05
    assert found > values.max()
    assert found == pytest.approx(5.0, abs=0.1 if shape <= 3 else 1.0)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_end_scales_with_the_values_and_stays_near_them(unit: float) -> None:
    values = 3 + np.random.default_rng(1).gumbel(size=(4, 50))  # a law without an end
    found = upper_ends(unit * values)
    np.testing.assert_allclose(found, unit * upper_ends(values), rtol=1e-9)
    assert (unit * values.max(axis=1) < found).all()
    assert (found <= unit * (values.max(axis=1) + 2.001 * np.ptp(values, axis=1))).all()


def test_equal_values_are_their_own_end() -> None:
    assert upper_ends(np.array([[3.5] * 10, [0.0] * 10, [2.0, 2.0000001] * 5])).tolist() == [3.5, 0.0, 2.0000001]


def test_images_that_are_wrong_or_have_no_finite_gradient_are_left_out() -> None:
    class Odd(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            first = images.flatten(1)[:, 0]
            return torch.stack([first.sqrt() - 0.6, torch.zeros_like(first)], dim=1)

    images = torch.tensor([0.0, 0.01, 0.5]).view(3, 1, 1, 1)  # the box ends at 0, where the root has no slope
    labels = torch.tensor([1, 0, 0])
    record, scores = measure_clever(
        Odd(), images, labels, Search(0.2, **QUICK), norm="linf", generator=torch.Generator().manual_seed(0)
    )
    assert scores[0].isnan()  # half of its points are clipped to 0
    assert scores[1].isnan()  # wrong
    assert 0 < float(scores[2]) < 0.2
    assert record is not None
    assert record.samples == 1
    record, scores = measure_clever(Odd(), images[1:2], labels[1:2], Search(0.2, **QUICK), norm="linf")
    assert record is None
    assert scores.isnan().all()


def test_a_model_without_gradients_scores_the_radius_and_is_left_as_it_was_found() -> None:
    class Detached(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert not self.training
            return images.detach().flatten(1)[:, :3]

    model = Detached().train()
    images = torch.rand(4, 1, 2, 2)
    labels = images.flatten(1)[:, :3].argmax(dim=1)
    for norm, radius in [(norm, entry.clever_radius) for norm, entry in NORMS.items()]:
        record, scores = measure_clever(model, images, labels, Search(**QUICK), norm=norm)
        assert scores.tolist() == [radius] * 4
        assert record is not None
        assert record.radius == radius
    assert model.training


def test_settings_out_of_range_and_no_images_are_errors() -> None:
    model, images, labels = linear_problem(2, (1, 2, 2), seed=5)
    with pytest.raises(ValueError, match="need radius > 0"):
        Search(0.0)
    with pytest.raises(HardenerError, match="there are no images"):
        measure_clever(model, images[:0], labels[:0], norm="linf")
