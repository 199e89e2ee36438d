from __future__ import annotations

import pytest
import torch

from hardener.errors import HardenerError
from hardener.geometry import NORMS, fit_box, norm_geometry

SHAPE = (5, 3, 4, 4)


@pytest.fixture(params=NORMS)
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_project_is_idempotent_never_lengthens_and_keeps_what_is_inside(norm: str) -> None:
    ball = norm_geometry(norm)
    delta = torch.randn(SHAPE)
    once = ball.project(delta, 0.5)
    torch.testing.assert_close(ball.project(once, 0.5), once)
    assert (ball.size(once) <= ball.size(delta) + 1e-6).all()
    assert (ball.size(once) <= 0.5 + 1e-6).all()
    torch.testing.assert_close(ball.project(delta, 1e3), delta)
    assert (ball.project(delta, 0.0) == 0).all()


def test_random_points_lie_in_the_ball_and_fill_it(norm: str) -> None:
    ball = norm_geometry(norm)
    points = ball.random_point(torch.zeros(4000, 1, 1, 2), 0.3, torch.Generator().manual_seed(0))
    sizes = ball.size(points)
    assert sizes.max() <= 0.3 + 1e-6
    # uniform in two dimensions: the share within half the radius is a quarter, for a square and for a disc
    assert abs(float((sizes < 0.15).float().mean()) - 0.25) < 0.03


def test_the_same_seed_gives_the_same_point(norm: str) -> None:
    ball = norm_geometry(norm)
    draws = [ball.random_point(torch.zeros(SHAPE), 1.0, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)


def test_no_step_of_size_one_rises_more_than_the_steepest(norm: str) -> None:
    ball = norm_geometry(norm)
    gradient = torch.randn(SHAPE)
    step = ball.steepest(gradient)
    assert torch.allclose(ball.size(step), torch.ones(5))
    rise = (gradient * step).flatten(1).sum(1)
    for seed in range(20):
        other = ball.random_point(gradient, 1.0, torch.Generator().manual_seed(seed))
        assert (rise >= (gradient * other).flatten(1).sum(1) - 1e-5).all()


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_steepest_survives_gradients_that_are_zero_tiny_or_huge(norm: str, scale: float) -> None:
    step = norm_geometry(norm).steepest(torch.ones(SHAPE) * scale)
    expected = 0.0 if scale == 0 else 1.0
    torch.testing.assert_close(norm_geometry(norm).size(step), torch.full((5,), expected))


def test_fit_box_keeps_images_in_the_box_and_never_lengthens(norm: str) -> None:
    images, delta = torch.rand(SHAPE), torch.randn(SHAPE)
    fitted = fit_box(images, delta)
    assert ((images + fitted >= 0) & (images + fitted <= 1)).all()
    assert (fitted.abs() <= delta.abs() + 1e-6).all()


def test_an_unknown_norm_is_an_error() -> None:
    with pytest.raises(HardenerError, match="unknown norm 'l3'"):
        norm_geometry("l3")
