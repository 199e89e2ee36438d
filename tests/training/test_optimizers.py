"""Optimisers by their names in torch.optim."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path

import pytest
import torch
from test_run import Recorder, request, weights

from hardener.config.recipe import load_recipe, settle
from hardener.config.schema import OPTIMIZERS
from hardener.errors import HardenerError, Interrupted
from hardener.training.build import build_method, build_optimizers, check_optimizer, first_state
from hardener.training.learning_rate import set_learning_rate
from hardener.training.run import resume, train


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_is_torchs_and_takes_a_step(name: str) -> None:
    recipe = load_recipe("natural", [f"optimizer.name={name}"])
    network = torch.nn.Linear(3, 2)
    before = network.weight.clone()
    theta, _ = build_optimizers(recipe, network, build_method(recipe, 2))
    assert type(theta).__name__.lower() == name
    assert type(theta).__module__.startswith("torch.optim")
    assert theta.param_groups[0].get("momentum", 0.9) == 0.9
    assert theta.param_groups[0]["weight_decay"] == 5e-4
    network(torch.ones(1, 3)).sum().backward()
    theta.step()
    assert not torch.equal(network.weight, before)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "sgd"])
def test_another_optimiser_than_sgd_has_torchs_own_rate_where_none_is_named_with_it(name: str, tmp_path: Path) -> None:
    """0.05 or 0.03 is SGD's: AdamW unlearns trained weights by it."""
    kind = next(kind for own, kind in vars(torch.optim).items() if own.lower() == name)
    own = inspect.signature(kind).parameters["lr"].default
    file = tmp_path / "mine.yaml"
    file.write_text(f"optimizer: {{name: {name}}}\n")
    for asked in (
        load_recipe("hardened", [f"optimizer.name={name}"]),
        load_recipe("hardened", [f"optimizer={{name: {name}}}"]),
        load_recipe(str(file)),
    ):
        for trained in (False, True):
            assert settle(asked, trained=trained, side=32)[0].optimizer.lr == own
    for late in (f"fine_tuning={{optimizer: {{name: {name}}}}}", f"fine_tuning.optimizer.name={name}"):
        asked = load_recipe("natural", [late])
        assert [settle(asked, trained=trained, side=32)[0].optimizer.lr for trained in (False, True)] == [0.05, own]


def test_a_rate_that_is_named_holds_for_any_optimiser(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("optimizer: {name: adam, lr: 0.07}\n")
    assert load_recipe(str(file)).optimizer.lr == 0.07
    assert load_recipe("natural", ["optimizer.lr=0.3", "optimizer.name=adamw"]).optimizer.lr == 0.3
    assert load_recipe(str(file), ["optimizer.lr=0.3"]).optimizer.lr == 0.3
    plain = load_recipe("natural", ["optimizer.name=sgd"])
    assert [settle(plain, trained=trained, side=32)[0].optimizer.lr for trained in (False, True)] == [0.05, 0.03]


def test_the_learned_vector_keeps_the_rate_of_its_own_sgd_beside_another_optimiser() -> None:
    for sets, rates in (
        (["optimizer.lr=0.2"], (0.2, 0.2)),
        (["optimizer.name=adamw"], (0.001, 0.05)),
        (["optimizer.name=adamw", "beta.lr=0.4"], (0.001, 0.4)),
    ):
        recipe = load_recipe("sprout", [*sets, "optimizer.schedule=constant", "optimizer.warmup_epochs=0"])
        method = build_method(recipe, 2)
        state = first_state(recipe, torch.nn.Linear(3, 2), method, torch.device("cpu"))
        assert state.beta is not None
        for _ in range(2):  # as built, and at a point of the run
            assert (state.theta.param_groups[0]["lr"], state.beta.param_groups[0]["lr"]) == rates
            set_learning_rate(state, recipe, 0.5)


def test_a_block_that_was_left_out_at_first_learns_as_torch_has_it() -> None:
    """Stochastic depth: a gradient reaches a block when others have momentum already."""
    recipe = load_recipe("natural", [])
    torch.manual_seed(0)
    ours = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 2)])
    theirs = copy.deepcopy(ours)
    theta, _ = build_optimizers(recipe, ours, build_method(recipe, 2))
    facts = {key: theta.param_groups[0][key] for key in ("lr", "momentum", "weight_decay", "nesterov")}
    plain = torch.optim.SGD(theirs.parameters(), **facts, foreach=False)
    for blocks in ((1,), (0, 1), (1,), (0, 1)):
        for network, optimizer in ((ours, theta), (theirs, plain)):
            optimizer.zero_grad()
            images = torch.ones(4, 3)
            for block in blocks:
                images = network[block](images)
            images.square().sum().backward()
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_options_reach_the_optimiser_and_those_that_it_refuses_are_told() -> None:
    recipe = load_recipe("natural", ["optimizer.name=adam", "optimizer.options.betas=[0.8, 0.9]"])
    theta, _ = build_optimizers(recipe, torch.nn.Linear(3, 2), build_method(recipe, 2))
    assert tuple(theta.param_groups[0]["betas"]) == (0.8, 0.9)
    for sets, told in (
        (
            ["optimizer.options.bettas=[0.8, 0.9]"],
            r"torch's sgd refuses optimizer.options .*bettas.*unexpected keyword",
        ),
        (["optimizer.name=adam", "optimizer.options.betas=[2, 0.9]"], "torch's adam refuses .*Invalid beta parameter"),
    ):
        with pytest.raises(HardenerError, match=told):
            check_optimizer(load_recipe("natural", sets).optimizer)
    with pytest.raises(HardenerError, match=r"unknown optimiser 'adamm'. Known: sgd, .* Did you mean 'adam'\?"):
        load_recipe("natural", ["optimizer.name=adamm"])


def test_a_run_with_another_optimiser_resumes_as_if_it_had_not_stopped(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("epochs=2", "optimizer.name=nadam", "optimizer.lr=0.001")
    straight = train(request(model_file, image_folder, tmp_path / "a", "natural", sets), Recorder())
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "b", "natural", sets, name="cut"), Recorder(25))
    from hardener.config.run_folder import find_run

    resumed = resume(find_run("cut", tmp_path / "b"), Recorder(), device="cpu")
    for name, found in weights(resumed).items():
        assert torch.equal(found, weights(straight)[name]), name
