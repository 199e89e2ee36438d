"""SPSA, NES, HopSkipJump, transfer and random noise: what answers alone can find."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from oracles import Linear, linear_problem, plane_distance
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hardener.attacks import ATTACKS
from hardener.attacks._queries import LARGEST_BATCH, estimate_gradient
from hardener.attacks.hopskipjump import hopskipjump
from hardener.attacks.pgd import pgd
from hardener.attacks.random_noise import random_noise
from hardener.attacks.transfer import transfer
from hardener.catalog import resolve
from hardener.errors import HardenerError
from hardener.geometry import NORMS, norm_geometry

Attack = Callable[..., Tensor]
BUDGETED = ["spsa", "nes", "hopskipjump"]


@pytest.fixture
def attack(name: str) -> Attack:
    if name == "hopskipjump":
        pytest.importorskip("eagerpy")
    found: Attack = resolve(ATTACKS, name, "attack")
    return found


def in_norms(names: list[str]) -> pytest.MarkDecorator:
    """Every attack of these with each norm that it has."""
    return pytest.mark.parametrize(
        ("name", "norm"), [(name, norm) for name in names for norm in NORMS if norm in ATTACKS[name].norms]
    )


@pytest.fixture(params=NORMS)
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distances(model: Linear, images: Tensor, norm: str) -> Tensor:
    return plane_distance(model, images, norm)


def standing(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.as_tensor(model(images).argmax(dim=1).eq(labels))


class Rounded(nn.Module):
    """What a deployed model makes of its input: bytes; and no gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.model((images * 255).round() / 255)
        return logits


class Answers(nn.Module):
    """Counts the images that it is asked about, and fails where it is asked with gradients on."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = model
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.batches.append(len(images))
        return self.answer(images)


@pytest.mark.parametrize("signs", [True, False])
def test_the_mean_of_many_differences_is_the_gradient(signs: bool) -> None:
    """Spall 1992, Ilyas et al. 2018: for a linear function both estimates have the gradient as their mean."""
    model, images, labels = linear_problem(3, (1, 4, 4), seed=0)
    generator = seeded()

    def draw(shape: tuple[int, ...]) -> Tensor:
        normal = torch.randn(shape, generator=generator)
        return normal.sign() if signs else normal

    found = estimate_gradient(model, images, labels, draw, pairs=4000, spread=0.01)
    toward = (1 - 2 * labels).view(-1, 1, 1, 1) * model.weight.detach().view(1, 1, 4, 4)
    error = (found - toward).flatten(1).norm(dim=1) / model.weight.detach().norm()
    assert error.max() < 4 * math.sqrt(17 / 4000)  # the standard error is at most sqrt((d + 1) / pairs)


@pytest.mark.parametrize("count", [1, 3, 300])
def test_an_estimate_costs_two_queries_a_pair_and_holds_few_at_once(count: int) -> None:
    model = Answers(lambda images: torch.stack([images.mean((1, 2, 3)), torch.zeros(len(images))], dim=1))
    images, labels = torch.rand(count, 1, 2, 2), torch.zeros(count, dtype=torch.int64)
    estimate_gradient(model, images, labels, torch.randn, pairs=150, spread=0.01)
    assert sum(model.batches) == 300 * count
    assert max(model.batches) <= max(LARGEST_BATCH, 2 * count)


@in_norms(BUDGETED)
def test_on_a_linear_model_what_is_near_falls_and_what_is_far_stands(attack: Attack, norm: str) -> None:
    model, images, labels = linear_problem(40, (1, 6, 6), seed=0)
    away = distances(model, images, norm)
    eps = float(away.median())
    found = attack(Answers(model), images, labels, norm=norm, eps=eps, queries=1500, generator=seeded())
    stood = standing(model, found, labels)
    assert not bool(stood[away < 0.8 * eps].any())
    assert bool(stood[away > 1.01 * eps].all())


@in_norms(BUDGETED)
def test_a_model_that_rounds_and_has_no_gradient_falls_too(attack: Attack, norm: str) -> None:
    model, images, labels = linear_problem(20, (1, 6, 6), seed=1)
    images = (images * 255).round() / 255  # as they come from files
    away = distances(model, images, norm)
    eps = 1.5 * float(away.median())
    found = attack(Rounded(model), images, labels, norm=norm, eps=eps, queries=1500, generator=seeded())
    assert not bool(standing(Rounded(model), found, labels)[away < 0.6 * eps].any())


@pytest.mark.parametrize("queries", [1, 30, 200, 777])
@in_norms(BUDGETED)
def test_the_budget_is_kept(attack: Attack, norm: str, queries: int) -> None:
    model, images, labels = linear_problem(5, (1, 6, 6), seed=2)
    asked = Answers(model)
    attack(asked, images, labels, norm=norm, eps=1e-6, queries=queries, generator=seeded())
    assert sum(asked.batches) <= 5 * queries
    assert sum(asked.batches) >= 5 * (queries - 70)  # what is left is too little for a step
    assert max(asked.batches) <= LARGEST_BATCH


@in_norms(BUDGETED)
def test_an_image_that_fell_costs_no_more_queries(attack: Attack, norm: str) -> None:
    model, images, labels = linear_problem(5, (1, 6, 6), seed=3)
    asked = Answers(model)
    eps = 0.3 if norm == "linf" else 2.0
    found = attack(asked, images, labels, norm=norm, eps=eps, queries=5000, generator=seeded())
    assert not bool(standing(model, found, labels).any())
    assert sum(asked.batches) < 5 * 500


@in_norms([*BUDGETED, "random-noise", "transfer"])
def test_images_that_are_misclassified_already_stay_and_cost_one_query(name: str, norm: str) -> None:
    model, images, labels = linear_problem(4, (1, 6, 6), seed=4)
    asked = Answers(model)
    given = {"surrogate": model} if name == "transfer" else {}
    found = resolve(ATTACKS, name, "attack")(asked, images, 1 - labels, norm=norm, eps=0.1, **given)
    assert torch.equal(found, images)
    assert asked.batches == [4]


@in_norms(BUDGETED)
def test_a_model_that_answers_differently_twice_ends_the_attack_in_time(attack: Attack, norm: str) -> None:
    chance = seeded()
    asked = Answers(lambda images: torch.randn(len(images), 3, generator=chance))
    labels = torch.zeros(6, dtype=torch.int64)
    found = attack(asked, torch.rand(6, 1, 6, 6), labels, norm=norm, eps=0.001, queries=600, generator=seeded())
    assert bool(found.isfinite().all())
    assert sum(asked.batches) <= 6 * 600


@in_norms(BUDGETED)
def test_a_model_whose_answers_are_not_finite_is_no_error(attack: Attack, norm: str) -> None:
    def broken(images: Tensor) -> Tensor:
        return torch.full((len(images), 3), torch.nan)

    images = torch.rand(2, 1, 6, 6)
    found = attack(broken, images, torch.zeros(2, dtype=torch.int64), norm=norm, eps=0.1, queries=200)
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("norm", ATTACKS["hopskipjump"].norms)
def test_hopskipjump_sees_decisions_alone(norm: str) -> None:
    model, images, labels = linear_problem(4, (1, 6, 6), seed=5)

    def decided(points: Tensor) -> Tensor:
        return one_hot(model(points).argmax(dim=1), 2).float()

    first, second = (
        hopskipjump(told, images, labels, norm=norm, eps=0.001, queries=500, generator=seeded())
        for told in (model, decided)
    )
    assert torch.equal(first, second)


def test_hopskipjump_leaves_the_global_random_states_and_the_environment() -> None:
    model, images, labels = linear_problem(3, (1, 6, 6), seed=6)
    environment = dict(os.environ)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    hopskipjump(model, images, labels, norm="l2", eps=0.001, queries=300, generator=seeded())
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert dict(os.environ) == environment


def test_hopskipjump_walks_as_far_in_a_large_batch_as_in_a_small_one() -> None:
    """foolbox 3.3.4 divides l2 directions by their length over the batch: of 64 images, an eighth of a step."""
    model, images, labels = linear_problem(8, (1, 6, 6), seed=8)
    away = distances(model, images, "l2")
    far = int(away.argmax())
    for count in (1, 64):
        batch, truth = images[far].repeat(count, 1, 1, 1), labels[far].repeat(count)
        found = hopskipjump(
            model, batch, truth, norm="l2", eps=1.2 * float(away[far]), queries=1200, generator=seeded()
        )
        assert not bool(standing(model, found, truth).any())


class Bright(nn.Module):
    """Class 1 for images brighter than 0.8 on the whole: no uniform noise is."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0.8 - mean, mean - 0.8], dim=1)


def test_hopskipjump_starts_from_another_image_where_noise_does_not_do() -> None:
    images = torch.stack([torch.full((1, 6, 6), level) for level in (0.3, 0.4, 0.95)])
    labels = torch.tensor([0, 0, 1])
    found = hopskipjump(Bright(), images, labels, norm="linf", eps=0.6, queries=500, generator=seeded())
    assert not bool(standing(Bright(), found, labels).any())


@pytest.mark.parametrize("norm", ATTACKS["hopskipjump"].norms)
def test_hopskipjump_without_a_start_gives_the_images_back(norm: str) -> None:
    images = torch.full((2, 1, 6, 6), 0.3)
    images[1] = 0.35
    found = hopskipjump(Bright(), images, torch.tensor([0, 0]), norm=norm, eps=0.6, queries=500, generator=seeded())
    assert torch.equal(found, images)


def test_a_missing_foolbox_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(HardenerError, match=r"needs foolbox, .*: pip install 'hardener\[decision\]'"):
        hopskipjump(Bright(), torch.rand(1, 1, 6, 6), torch.tensor([0]), norm="l2", eps=0.1)


def test_a_broken_foolbox_does_not_read_as_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("eagerpy")
    for name in [name for name in sys.modules if name.partition(".")[0] == "foolbox"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "eagerpy", None)
    with pytest.raises(ModuleNotFoundError, match="eagerpy"):
        hopskipjump(Bright(), torch.rand(1, 1, 6, 6), torch.tensor([0]), norm="l2", eps=0.1)


@pytest.mark.slow
def test_hopskipjump_needs_no_git_on_the_machine() -> None:
    pytest.importorskip("eagerpy")
    code = "from hardener.attacks.hopskipjump import _import_foolbox; _import_foolbox()"
    environment = {key: value for key, value in os.environ.items() if key != "GIT_PYTHON_REFRESH"} | {"PATH": ""}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_transfer_without_a_surrogate_says_how_to_name_one() -> None:
    model, images, labels = linear_problem(2, (1, 6, 6), seed=0)
    with pytest.raises(HardenerError, match=r"needs a surrogate, .* pass --surrogate RUN"):
        transfer(model, images, labels, norm="linf", eps=0.1)


def test_from_the_model_itself_everything_transfers(norm: str) -> None:
    model, images, labels = linear_problem(20, (1, 6, 6), seed=0)
    away = distances(model, images, norm)
    eps = float(away.median())
    found = transfer(Answers(model), images, labels, norm=norm, eps=eps, surrogate=model, generator=seeded())
    assert torch.equal(
        standing(model, found, labels)[(away - eps).abs() > 0.02 * eps], (away > eps)[(away - eps).abs() > 0.02 * eps]
    )


def test_from_a_parallel_model_the_closed_form_holds_although_it_errs_everywhere(norm: str) -> None:
    """A surrogate with the same w and another b: it is wrong from the start, and its direction is the best one."""
    model, images, labels = linear_problem(20, (1, 6, 6), seed=1)
    images, labels = images[labels == 1], labels[labels == 1]
    surrogate = Linear(model.weight.detach(), -100.0)
    away = distances(model, images, norm)
    eps = 1.05 * float(away.max())
    found = transfer(model, images, labels, norm=norm, eps=eps, surrogate=surrogate, generator=seeded())
    assert not bool(standing(model, found, labels).any())
    assert norm_geometry(norm).size(found - images).min() > 0.95 * eps


def test_what_fools_first_is_kept_and_is_pgd_on_the_surrogate(norm: str) -> None:
    model, images, labels = linear_problem(8, (1, 6, 6), seed=2)
    surrogate = Linear(model.weight.detach() + 0.3 * torch.randn(36, generator=seeded()), float(model.bias.detach()))
    eps = 2 * float(distances(model, images, norm).max())
    settings: dict[str, Any] = {"norm": norm, "eps": eps, "random_start": False}
    expected = pgd(surrogate, images, labels, stop_early=False, **settings)
    assert not bool(standing(model, expected, labels).any())
    assert torch.equal(transfer(model, images, labels, surrogate=surrogate, **settings), expected)
    assert surrogate.weight.grad is None


def test_random_noise_goes_to_the_border_of_the_ball(norm: str) -> None:
    model, images, labels = linear_problem(6, (3, 6, 6), seed=0)
    found = random_noise(model, images, labels, norm=norm, eps=0.01, draws=50, generator=seeded())
    moved = found - images
    torch.testing.assert_close(norm_geometry(norm).size(moved), torch.full((6,), 0.01), rtol=1e-3, atol=0.0)
    if norm == "linf":
        torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.01), rtol=1e-3, atol=0.0)


def test_random_noise_breaks_a_linear_model_as_often_as_the_normal_law_says(norm: str) -> None:
    """w·delta has variance eps² |w|² (linf) or eps² |w|² / d and is nearly normal; in l1 it is + or - eps w_i."""
    model, images, labels = linear_problem(5, (3, 8, 8), seed=3)
    image, label = images[:1], labels[:1]
    count, eps = 4000, 0.05
    deviation = eps * float(model.weight.detach().norm()) / (1 if norm == "linf" else math.sqrt(192))
    lead = float(model.margin(image).detach())
    away = Linear(model.weight.detach(), float(model.bias.detach()) - lead + math.copysign(0.7 * deviation, lead))
    images, labels = image.repeat(count, 1, 1, 1), label.repeat(count)
    found = random_noise(away, images, labels, norm=norm, eps=eps, draws=1, generator=seeded())
    share = 1 - float(standing(away, found, labels).float().mean())
    expected = 0.5 * math.erfc(0.7 / math.sqrt(2))
    if norm == "l1":
        expected = 0.5 * float((eps * model.weight.detach().abs() > 0.7 * deviation).float().mean())
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / count) + 0.005)


def test_more_noise_never_helps_the_model(norm: str) -> None:
    model, images, labels = linear_problem(30, (1, 6, 6), seed=4)
    leads = []
    for draws in (1, 5, 25):
        found = random_noise(model, images, labels, norm=norm, eps=0.02, draws=draws, generator=seeded())
        leads.append(((1 - 2 * labels) * model.margin(found)).detach())
    assert float(leads[0].mean()) < float(leads[1].mean()) < float(leads[2].mean())
