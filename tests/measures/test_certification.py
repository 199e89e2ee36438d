from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracles import Linear, linear_problem
from scipy.stats import norm as normal
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.measures.certification import Smoothing, asked_smoothing, measure_certification


def plane(distances: list[float], shape: tuple[int, int, int] = (1, 3, 3)) -> tuple[Linear, Tensor]:
    """A linear model, and images at these signed distances from its plane."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    unit = weight / weight.norm()
    start = torch.full(shape, 0.5)
    model = Linear(weight, -float((start * weight).sum()))
    return model, torch.stack([start + distance * unit for distance in distances])


def test_on_a_linear_model_it_is_the_largest_radius_asked_for_that_the_distance_from_the_plane_allows() -> None:
    """Smoothing a linear classifier gives the same classifier back, so the distance is the true radius.

    Agreeing draws have the share Phi(distance / sigma); what is asked for lies far enough from it for 10,000 draws.
    """
    distances = [0.05, 0.11, -0.2, 0.31, 0.43]
    model, images = plane(distances)
    labels = (torch.tensor(distances) > 0).long()
    asked = (0.0, 0.08, 0.15, 0.25, 0.37)
    record, radius = measure_certification(
        model,
        images,
        labels,
        Smoothing(0.25, selection_draws=500, draws=10_000, alpha=1e-6, radii=asked),
        batch_size=2000,
        generator=torch.Generator().manual_seed(1),
    )
    assert record.abstained == 0
    assert record.smoothed_accuracy == 1.0
    assert radius.tolist() == [max(r for r in asked if r < abs(distance)) for distance in distances]
    assert record.mean_draws is not None
    assert record.mean_draws < 3000, "they end when the next radius is refused"


@pytest.mark.parametrize(("radius", "draws"), [(0.5, 1000), (0.75, 16_000), (0.89, 100_000)])
def test_for_a_large_radius_more_draws_are_allowed_twice_those_that_decide_it(radius: float, draws: int) -> None:
    smoothing = asked_smoothing(0.25, [0.1, radius])
    assert (smoothing.draws, list(smoothing.radii or ())) == (draws, [0.1, radius])
    assert radius < smoothing.largest(draws // 2)
    contest = smoothing.contest(1, [radius])
    contest.take(np.array([0]), np.array([draws // 2]), draws // 2)
    assert contest.certified.tolist() == [1]


def test_certified_accuracy_is_never_above_the_exact_one_of_a_linear_model_for_a_tenth_of_the_draws() -> None:
    model, images, labels = linear_problem(200, (1, 3, 3), seed=5)
    distance = (model.margin(images).detach().abs() / model.weight.detach().norm()).double()
    sigma = float(distance.median()) / 1.5
    record, radius = measure_certification(
        model, images, labels, Smoothing(sigma), generator=torch.Generator().manual_seed(0), batch_size=1000
    )
    for point in record.points:
        exact = float((distance >= point.parameter).double().mean())
        assert exact - 0.2 <= point.accuracy <= exact
    assert (radius[~radius.isnan()] <= distance[~radius.isnan()]).all()
    assert record.mean_draws is not None
    assert record.mean_draws < 500


def test_certified_accuracy_counts_the_images_certified_to_at_least_the_radius() -> None:
    model, images, labels = linear_problem(60, (1, 3, 3), seed=3)
    labels[:10] = 1 - labels[:10]  # the smoothed classifier is wrong there as well
    record, radius = measure_certification(
        model, images, labels, Smoothing(0.1), generator=torch.Generator().manual_seed(0), batch_size=13
    )
    assert radius[:10].isnan().all()
    assert [point.parameter for point in record.points] == pytest.approx([0.0, 0.05, 0.1])
    for point in record.points:
        assert point.accuracy == int((radius >= point.parameter).sum()) / 60
        assert point.interval[0] <= point.accuracy <= point.interval[1]
    falling = [point.accuracy for point in record.points]
    assert falling == sorted(falling, reverse=True)
    assert int(radius[10:].isnan().sum()) <= record.abstained
    assert record.confidence == pytest.approx(0.999)


def test_a_unanimous_vote_certifies_the_largest_radius_and_no_default_lies_beyond_what_the_draws_can() -> None:
    """Of 1,000 unanimous draws any share that is certified at alpha lies below alpha^(1/1000): 2.46 sigma."""

    class Constant(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([0.0, 3.0]).repeat(len(images), 1)

    record, radius = measure_certification(
        Constant(), torch.rand(3, 1, 2, 2), torch.tensor([1, 1, 0]), Smoothing(0.5), batch_size=700
    )
    assert radius.tolist() == pytest.approx([0.5, 0.5, math.nan], nan_ok=True)
    assert [point.parameter for point in record.points] == [0.0, 0.25, 0.5]
    assert record.mean_draws is not None
    assert record.mean_draws < 100
    assert Smoothing(0.5, draws=30).asked_radii() == [0.0, 0.25]
    assert normal.cdf(1.0) > 0.001 ** (1 / 30) > normal.cdf(0.5)
    assert {point.accuracy for point in record.points} == {2 / 3}


def test_it_abstains_where_two_classes_share_the_votes() -> None:
    model, images = plane([0.0, 0.0])
    record, radius = measure_certification(
        model, images, torch.tensor([0, 1]), Smoothing(0.25), generator=torch.Generator().manual_seed(2)
    )
    assert record.abstained == record.undecided == 2
    assert record.mean_draws is not None
    assert record.mean_draws < record.draws, "they are given up before"
    assert radius.isnan().all()
    assert record.points[0].accuracy == 0.0


@pytest.mark.parametrize(("count", "batch_size"), [(1, 64), (5, 64), (70, 64), (5, 1)])
def test_every_image_gets_its_draws_and_no_batch_is_larger_than_asked(count: int, batch_size: int) -> None:
    rows: list[int] = []

    class Counting(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            rows.append(len(images))
            return images.flatten(1)

    done: list[int] = []
    record, _ = measure_certification(
        Counting(),
        (255 * torch.rand(count, 1, 2, 2)).to(torch.uint8),
        torch.zeros(count, dtype=torch.int64),
        Smoothing(0.3, selection_draws=7, draws=30),
        batch_size=batch_size,
        on_done=done.append,
    )
    assert record.mean_draws is not None
    assert sum(rows) == pytest.approx((7 + record.mean_draws) * count)
    assert record.mean_draws <= 30
    assert max(rows) <= batch_size
    assert sum(done) == record.samples == count


def test_settings_out_of_range_and_no_images_are_errors() -> None:
    with pytest.raises(ValueError, match="need noise_sigma > 0"):
        Smoothing(0.0)
    with pytest.raises(ValueError, match="radii >= 0 that ascend"):
        Smoothing(0.1, radii=(0.2, 0.1))
    with pytest.raises(HardenerError, match="there are no images"):
        measure_certification(nn.Flatten(), torch.rand(0, 1, 1, 2), torch.zeros(0).long(), Smoothing(0.1))
