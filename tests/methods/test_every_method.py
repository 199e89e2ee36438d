"""Laws that hold for each method of the catalog, whichever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from networks import conv_problem, state

from hardener.config.recipe import load_recipe, recipe_files
from hardener.errors import HardenerError
from hardener.methods import METHODS
from hardener.training.build import build_method


def a_recipe_of(method: str, folder: Path) -> str:
    """The first recipe of the project that names the method, or one that says nothing else."""
    for name in recipe_files():
        if load_recipe(name).method == method:
            return name
    path = folder / "own.yaml"
    path.write_text(f"method: {method}\n")
    return str(path)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_gives_one_finite_loss_and_every_parameter_a_gradient(name: str, tmp_path: Path) -> None:
    network, images, labels = conv_problem()
    recipe = load_recipe(a_recipe_of(name, tmp_path))
    found = []
    for _ in range(2):
        method, before, given = build_method(recipe, 3), state(network), images.clone()
        network.zero_grad()
        torch.manual_seed(1)
        loss = method.loss(network, images, labels)
        assert loss.shape == ()
        assert bool(loss.isfinite())
        loss.backward()
        method.after_backward()
        learned = [*network.parameters(), *([] if method.beta is None else [method.beta])]
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in learned)
        assert all(torch.equal(p, before[key]) for key, p in network.named_parameters())
        assert torch.equal(images, given)
        assert 0 < float(method.target_mass()) <= 1
        network.load_state_dict(before)
        found.append(loss.detach())
    assert torch.equal(*found)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_can_be_saved_and_taken_up_again(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(a_recipe_of(name, tmp_path))
    method, other = build_method(recipe, 3), build_method(recipe, 3)
    network, images, labels = conv_problem()
    method.loss(network, images, labels).backward()
    method.after_backward()
    other.load_state_dict(method.state_dict())
    before, found = state(network), []
    for each in (method, other):
        torch.manual_seed(2)
        found.append(each.loss(network, images, labels).detach())
        each.after_backward()
        network.load_state_dict(before)
    assert torch.equal(*found)
    assert method.can_step_up <= (method.attack_steps > 0)


@pytest.mark.parametrize("name", METHODS)
def test_an_image_counts_what_its_class_weighs_or_the_method_says_that_it_cannot(name: str, tmp_path: Path) -> None:
    if not METHODS[name].weighs:
        with pytest.raises(HardenerError, match=f"method {name} weighs no classes: data.balance=sampler goes with any"):
            load_recipe(a_recipe_of(name, tmp_path), ["data.balance=weights"])
        return
    recipe = load_recipe(a_recipe_of(name, tmp_path), ["data.balance=weights"])
    network, images, labels = conv_problem()
    before, found = state(network), []
    for weights, asked in (
        (None, labels),
        ([1.0, 1, 1], labels),
        (None, labels * 0 + 2),
        ([9.0, 7, 0.5], labels * 0 + 2),
    ):
        method = build_method(recipe, 3)
        if weights is not None:
            method.weigh(torch.tensor(weights))
        torch.manual_seed(1)
        found.append(float(method.loss(network, images, asked).detach()))
        method.after_backward()
        network.load_state_dict(before)
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert found[3] == pytest.approx(0.5 * found[2], rel=1e-5)
