from __future__ import annotations

import inspect

import pytest
import torch
from oracles import linear_problem
from torch import nn

from hardener.attacks import ATTACKS
from hardener.attacks.fgsm import fgsm
from hardener.attacks.pgd import pgd
from hardener.catalog import resolve
from hardener.geometry import NORMS, norm_geometry

EPS = 0.04


@pytest.fixture(params=ATTACKS)
def attack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=NORMS)
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


def test_every_attack_has_the_rooms_signature(attack: str) -> None:
    parameters = inspect.signature(resolve(ATTACKS, attack, "attack")).parameters
    assert list(parameters)[:3] == ["model", "images", "labels"]
    assert {"norm", "eps", "generator"} <= set(parameters)
    assert all(p.kind is p.KEYWORD_ONLY for name, p in parameters.items() if name not in {"model", "images", "labels"})


def test_results_lie_in_ball_and_box_and_nothing_else_changes(attack: str, norm: str) -> None:
    model, images, labels = network(), torch.rand(6, 2, 4, 4), torch.arange(6) % 3
    kept_images = images.clone()
    kept_weights = [p.detach().clone() for p in model.parameters()]
    found = resolve(ATTACKS, attack, "attack")(model, images, labels, norm=norm, eps=EPS)
    assert norm_geometry(norm).size(found - images).max() <= EPS + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(images, kept_images)
    assert all(torch.equal(p, kept) for p, kept in zip(model.parameters(), kept_weights, strict=True))
    assert all(p.grad is None for p in model.parameters())
    assert not model.training


def test_eps_zero_returns_the_images(attack: str, norm: str) -> None:
    images = torch.rand(3, 2, 4, 4)
    found = resolve(ATTACKS, attack, "attack")(network(), images, torch.zeros(3, dtype=torch.int64), norm=norm, eps=0.0)
    torch.testing.assert_close(found, images)


def test_a_permuted_batch_gives_permuted_results(attack: str, norm: str) -> None:
    model, images, labels = network(), torch.rand(6, 2, 4, 4), torch.arange(6) % 3
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    fixed = {"random_start": False} if attack == "pgd" else {}
    run = resolve(ATTACKS, attack, "attack")
    plain = run(model, images, labels, norm=norm, eps=EPS, **fixed)
    mixed = run(model, images[order], labels[order], norm=norm, eps=EPS, **fixed)
    torch.testing.assert_close(mixed, plain[order])


def test_on_a_linear_model_fgsm_lowers_the_margin_by_eps_times_the_dual_norm(norm: str) -> None:
    """Goodfellow et al., ICLR 2015: the worst linf step lowers w·x by eps |w|_1; the worst l2 step by eps |w|_2."""
    model, images, labels = linear_problem(20, (1, 4, 4), seed=0)
    sign = 2 * labels - 1
    found = fgsm(model, images, labels, norm=norm, eps=EPS)
    weight = model.weight.detach()
    dual = float(weight.abs().sum() if norm == "linf" else weight.norm())
    fall = (sign * (model.margin(images) - model.margin(found))).detach()
    torch.testing.assert_close(fall, torch.full((20,), EPS * dual), rtol=1e-4, atol=1e-5)


def test_on_a_linear_model_pgd_from_any_start_ends_where_fgsm_does(norm: str) -> None:
    model, images, labels = linear_problem(20, (1, 4, 4), seed=1)
    best = fgsm(model, images, labels, norm=norm, eps=EPS)
    found = pgd(
        model,
        images,
        labels,
        norm=norm,
        eps=EPS,
        steps=40,
        step_size=EPS / 4,
        generator=torch.Generator().manual_seed(0),
    )
    falls = [(model.margin(images) - model.margin(ends)).abs() for ends in (found, best)]
    assert (falls[0] > 0.99 * falls[1]).all()


def test_one_pgd_step_of_length_eps_from_the_image_is_fgsm(norm: str) -> None:
    model, images, labels = network(), torch.rand(6, 2, 4, 4), torch.arange(6) % 3
    once = pgd(model, images, labels, norm=norm, eps=EPS, steps=1, step_size=EPS, random_start=False)
    torch.testing.assert_close(once, fgsm(model, images, labels, norm=norm, eps=EPS))


def test_the_seed_decides_the_random_start() -> None:
    model, images, labels = network(), torch.rand(6, 2, 4, 4), torch.arange(6) % 3
    first, again, other = (
        pgd(
            model,
            images,
            labels,
            norm="linf",
            eps=EPS,
            steps=1,
            step_size=0.001,
            generator=torch.Generator().manual_seed(s),
        )
        for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
