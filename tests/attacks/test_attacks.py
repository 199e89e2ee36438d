"""The laws of the room: every attack of the catalog keeps them in every norm it has. Its own oracles lie beside."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardener.attacks import ATTACKS
from hardener.catalog import resolve
from hardener.errors import HardenerError
from hardener.geometry import NORMS, norm_geometry

EPS = 0.04
CHEAP: dict[str, Any] = {"steps": 4, "restarts": 1, "queries": 40, "binary_search_steps": 2, "targets": 2}
"""Settings that any attack gets here, where it has them, so that each law takes less than a second."""


@pytest.fixture(params=ATTACKS)
def attack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def in_norms(*, had: bool = True) -> list[tuple[str, str]]:
    """Every attack with each norm that it has, or with each that it lacks."""
    return [(name, norm) for name, entry in ATTACKS.items() for norm in NORMS if (norm in entry.norms) == had]


in_every_norm_it_has = pytest.mark.parametrize(("attack", "norm"), in_norms())


def network(classes: int = 3, channels: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes)
    ).eval()


def problem(count: int = 6, classes: int = 3, channels: int = 2) -> tuple[nn.Module, Tensor, Tensor]:
    """A network, images, and labels of which it gets about half right."""
    model = network(classes, channels)
    images = torch.rand(count, channels, 8, 8)
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    labels[1::2] = (labels[1::2] + 1) % classes
    return model, images, labels


def attempt(
    attack: str, norm: str, model: nn.Module, images: Tensor, labels: Tensor, *, eps: float = EPS, **settings: Any
) -> Tensor:
    """Run an attack cheaply."""
    run = resolve(ATTACKS, attack, "attack")
    known = inspect.signature(run).parameters
    cheap = {**CHEAP, "surrogate": model, **settings}
    found: Tensor = run(
        model, images, labels, norm=norm, eps=eps, **{key: value for key, value in cheap.items() if key in known}
    )
    return found


def test_every_attack_has_the_rooms_signature(attack: str) -> None:
    parameters = inspect.signature(resolve(ATTACKS, attack, "attack")).parameters
    assert list(parameters)[:3] == ["model", "images", "labels"]
    assert {"norm", "eps", "generator"} <= set(parameters)
    assert all(p.kind is p.KEYWORD_ONLY for name, p in parameters.items() if name not in {"model", "images", "labels"})


def test_its_entry_names_settings_that_it_has(attack: str) -> None:
    entry, known = ATTACKS[attack], inspect.signature(resolve(ATTACKS, attack, "attack")).parameters
    assert {name for name in (entry.classes, entry.searches) if name} <= set(known)
    assert entry.needs_surrogate == ("surrogate" in known)
    assert entry.default_step is None or known["step_size"].default is None
    assert entry.loss is None or "loss" not in known
    assert set(entry.nearest_in) <= set(entry.norms) <= set(NORMS)


@pytest.mark.parametrize(("attack", "norm"), in_norms(had=False))
def test_where_it_lacks_a_norm_it_says_which_it_has(attack: str, norm: str) -> None:
    with pytest.raises(HardenerError) as error:
        attempt(attack, norm, *problem(2))
    assert norm in str(error.value)
    assert any(other in str(error.value) for other in ATTACKS[attack].norms)


@in_every_norm_it_has
def test_results_lie_in_ball_and_box_and_nothing_else_changes(attack: str, norm: str) -> None:
    model, images, labels = problem()
    kept_images, kept_labels = images.clone(), labels.clone()
    kept_weights = [p.detach().clone() for p in model.parameters()]
    found = attempt(attack, norm, model, images, labels)
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    assert not found.requires_grad
    if norm not in ATTACKS[attack].nearest_in:
        assert norm_geometry(norm).size(found - images).max() <= EPS + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(images, kept_images)
    assert torch.equal(labels, kept_labels)
    assert all(torch.equal(p, kept) for p, kept in zip(model.parameters(), kept_weights, strict=True))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not model.training


@pytest.mark.parametrize(
    ("attack", "norm"), [(name, norm) for name, norm in in_norms() if norm not in ATTACKS[name].nearest_in]
)
def test_eps_zero_returns_the_images(attack: str, norm: str) -> None:
    model, images, labels = problem(3)
    found = attempt(attack, norm, model, images, labels, eps=0.0)
    torch.testing.assert_close(found, images)


@pytest.mark.parametrize("classes", [2, 10])
@in_every_norm_it_has
def test_one_gray_image_and_two_or_ten_classes_will_do(attack: str, norm: str, classes: int) -> None:
    model, images, labels = problem(1, classes, channels=1)
    found = attempt(attack, norm, model, images, labels)
    assert found.shape == images.shape
    assert bool(found.isfinite().all())


@in_every_norm_it_has
def test_a_batch_of_broken_images_is_no_error(attack: str, norm: str) -> None:
    model, images, labels = problem(4)
    with torch.no_grad():
        labels = (model(images).argmax(dim=1) + 1) % 3
    found = attempt(attack, norm, model, images, labels)
    assert bool(found.isfinite().all())


@pytest.mark.parametrize(("attack", "norm"), [(name, norm) for name, norm in in_norms() if not ATTACKS[name].draws])
def test_a_permuted_batch_gives_permuted_results(attack: str, norm: str) -> None:
    model, images, labels = problem()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    plain = attempt(attack, norm, model, images, labels, random_start=False)
    mixed = attempt(attack, norm, model, images[order], labels[order], random_start=False)
    torch.testing.assert_close(mixed, plain[order])


@in_every_norm_it_has
def test_the_seed_decides_the_result(attack: str, norm: str) -> None:
    model, images, labels = problem()
    first, again = (
        attempt(attack, norm, model, images, labels, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    assert torch.equal(first, again)
