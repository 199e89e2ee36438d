from __future__ import annotations

import pytest
import torch

from hardener.errors import HardenerError
from hardener.geometry import NORMS, fit_box, norm_geometry
from hardener.geometry.l1 import L1, sparse_step

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


def test_random_points_are_uniform_in_the_ball(norm: str) -> None:
    """In d dimensions the share of the volume within r eps is r to the power d: the mean size is d/(d+1) eps."""
    ball = norm_geometry(norm)
    sizes = ball.size(ball.random_point(torch.zeros(4000, 1, 2, 3), 2.0, torch.Generator().manual_seed(0))) / 2
    assert abs(float(sizes.mean()) - 6 / 7) < 0.01
    assert abs(float((sizes < 0.8).float().mean()) - 0.8**6) < 0.03


def test_the_farthest_point_of_ball_and_box_lies_in_both(norm: str) -> None:
    images, gradient = torch.rand(SHAPE), torch.randn(SHAPE)
    for eps in (0.1, 0.9, 30.0):
        found = norm_geometry(norm).farthest_in_box(images, gradient, min(eps, 1.0) if norm == "linf" else eps)
        assert norm_geometry(norm).size(found).max() <= eps + 1e-5
        assert ((images + found >= 0) & (images + found <= 1)).all()


def test_the_projection_on_ball_and_box_stays_in_both_and_is_idempotent(norm: str) -> None:
    ball, images = norm_geometry(norm), torch.rand(SHAPE)
    images[:2] = images[:2].round()
    once = ball.project_in_box(images, 2 * torch.randn(SHAPE), 0.7)
    assert ball.size(once).max() <= 0.7 + 1e-6
    assert ((images + once >= 0) & (images + once <= 1)).all()
    torch.testing.assert_close(ball.project_in_box(images, once, 0.7), once, atol=1e-6, rtol=0)


@pytest.mark.parametrize("eps", [0.0, 0.3, 2.0, 8.0, 40.0])
def test_in_l1_no_point_of_ball_and_box_is_nearer_than_the_projection(eps: float) -> None:
    """A projection on a convex set is the one point p with <delta - p, q - p> <= 0 for every q of the set."""
    images, delta = torch.rand(SHAPE), 1.5 * torch.randn(SHAPE)
    nearest = L1.project_in_box(images, delta, eps)
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        other = L1.farthest_in_box(images, torch.randn(SHAPE, generator=generator) + seed % 5 * delta, eps)
        product = ((delta - nearest) * (other - nearest)).flatten(1).sum(dim=1)
        assert product.max() <= 1e-4


def test_in_l1_an_eps_a_row_or_without_end_is_taken() -> None:
    images, delta = torch.rand(SHAPE), torch.randn(SHAPE)
    eps = torch.tensor([0.5, 1.0, 2.0, 3.0, torch.inf]).view(-1, 1, 1, 1)
    for rows, found in ((0, L1.project(delta, eps)), (1, L1.project_in_box(images, delta, eps))):
        for row in range(5):
            one = slice(row, row + 1)
            radius = float(eps[row])
            alone = L1.project_in_box(images[one], delta[one], radius) if rows else L1.project(delta[one], radius)
            torch.testing.assert_close(found[one], alone)
    torch.testing.assert_close(L1.project(delta, eps)[4], delta[4])


def test_in_l1_the_farthest_point_moves_the_largest_gradients_to_the_sides_of_the_box() -> None:
    images = torch.tensor([0.25, 0.5, 0.75, 0.5]).view(1, 1, 2, 2)
    gradient = torch.tensor([3.0, -2.0, 0.0, 1.0]).view(1, 1, 2, 2)
    found = L1.farthest_in_box(images, gradient, 1.0).flatten()
    torch.testing.assert_close(found, torch.tensor([0.75, -0.25, 0.0, 0.0]))
    torch.testing.assert_close(L1.farthest_in_box(images, gradient, 9.0).flatten(), torch.tensor([0.75, -0.5, 0, 0.5]))


def test_a_sparse_step_is_shared_by_as_many_values_as_each_row_keeps() -> None:
    gradient = torch.tensor([[4.0, -3.0, 2.0, 0.0], [4.0, -3.0, 2.0, 0.0], [0.0] * 4]).view(3, 1, 2, 2)
    step = sparse_step(gradient, torch.tensor([2, 4, 1])).flatten(1)
    third = 1 / 3
    torch.testing.assert_close(step, torch.tensor([[0.5, -0.5, 0, 0], [third, -third, third, 0], [0.0] * 4]))


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
