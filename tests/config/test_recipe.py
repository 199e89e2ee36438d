from __future__ import annotations

from pathlib import Path

import pytest

from hardener.config.quantity import parse_image_size, parse_quantity
from hardener.config.recipe import (
    LARGE_SIDE,
    check_recipe,
    fine_tuned,
    load_recipe,
    recipe_files,
    recipe_header,
    settle,
)
from hardener.errors import HardenerError
from hardener.threat import ThreatModel, show_eps
from hardener.vicinity.worst_point import Settings


@pytest.mark.parametrize(
    ("text", "value"), [("8/255", 8 / 255), ("0.03", 0.03), ("1e-3", 0.001), (0.5, 0.5), ("0", 0.0)]
)
def test_quantities(text: str | float, value: float) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "eight", "8/0", "nan", "inf", "1/2/3", True])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(HardenerError, match="such as 8/255 or 0.03"):
        parse_quantity(text)


def test_image_sizes() -> None:
    assert [parse_image_size(value) for value in ("224", 32, "48x64", [5, 6])] == [
        (224, 224),
        (32, 32),
        (48, 64),
        (5, 6),
    ]
    for wrong in ("0", "a", "3x", "1x2x3", "-4"):
        with pytest.raises(HardenerError, match="an image size is 224, or HEIGHTxWIDTH"):
            parse_image_size(wrong)


def test_eps_out_of_range_offers_what_was_meant() -> None:
    with pytest.raises(HardenerError) as caught:
        ThreatModel("linf", 8)
    assert str(caught.value) == "eps must lie in [0, 1] because images do; got 8. Did you mean 8/255?"
    with pytest.raises(HardenerError, match="number >= 0"):
        ThreatModel("l2", -1)
    with pytest.raises(HardenerError, match="unknown norm 'Linf'. Known: linf, l2, l1. Did you mean 'linf'"):
        ThreatModel("Linf", 0.1)
    assert ThreatModel("l2", 3.0).eps == 3.0


def test_eps_is_shown_as_people_write_it() -> None:
    assert [show_eps(eps) for eps in (8 / 255, 0.5 / 255, 0.1, 0.0, 1.0)] == ["8/255", "0.00196078", "0.1", "0", "1"]


@pytest.mark.parametrize("name", recipe_files())
def test_every_recipe_loads_is_named_after_its_file_and_opens_with_its_command(name: str) -> None:
    assert load_recipe(name).name == name
    assert f"hardener train MODEL --data DIR --recipe {name}" in recipe_header(recipe_files()[name])


def test_the_six_recipes_of_the_main_job_are_there() -> None:
    assert {"natural", "gaussian", "mixup", "label-smoothing", "sprout", "sprout-reference"} <= set(recipe_files())


def test_the_command_line_beats_the_recipe_and_the_recipe_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("epochs: 7\noptimizer: {lr: 0.2}\n")
    recipe = load_recipe(str(path), ["optimizer.lr=1e-2", "vicinity.labels.law=budget", "validation.eps=4/255"])
    assert (recipe.name, recipe.epochs, recipe.batch_size) == ("own", 7, 128)
    assert (recipe.optimizer.lr, recipe.vicinity.labels.law, recipe.validation.eps) == (0.01, "budget", 4 / 255)


def test_a_recipe_says_what_is_otherwise_with_trained_weights_and_large_images(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("fine_tuning: {optimizer: {lr: 0.02}, epochs: 5}\nlarge_images: {validation: {eps: 4/255}}\n")
    recipe = load_recipe(str(path))
    found = {
        (trained, side): settle(recipe, trained=trained, side=side)
        for trained in (False, True)
        for side in (LARGE_SIDE - 1, LARGE_SIDE)
    }
    figures = {case: (one.optimizer.lr, one.epochs, one.validation.eps) for case, (one, _) in found.items()}
    assert figures == {
        (False, 63): (0.05, 30, 8 / 255),
        (False, 64): (0.05, 30, 4 / 255),
        (True, 63): (0.02, 5, 8 / 255),
        (True, 64): (0.02, 5, 4 / 255),
    }
    assert found[True, 64][1] == {"optimizer.lr": 0.02, "epochs": 5, "validation.eps": "4/255"}
    assert all(one.fine_tuning == one.large_images == {} for one, _ in found.values())
    assert settle(found[True, 64][0], trained=True, side=224) == (found[True, 64][0], {})


def test_sturdy_has_half_as_much_from_random_weights() -> None:
    def amounts(*, trained: bool) -> tuple[object, object]:
        told = settle(load_recipe("sturdy"), trained=trained, side=32)[0].model_dump()
        return told["augment"]["trivial"]["strength"], told["vicinity"]["patch_gaussian"]["chance"]

    assert amounts(trained=False) == (0.5, 0.25)
    assert amounts(trained=True) == (1, 0.5)


def test_hardened_is_one_command_that_suits_its_start_and_its_images() -> None:
    def ball(*sets: str, trained: bool, side: int) -> tuple[float, tuple[str, float, float], float]:
        recipe = settle(load_recipe("hardened", sets), trained=trained, side=side)[0]
        attack = recipe.vicinity.find(Settings)
        assert attack is not None
        return attack.eps, (attack.schedule, attack.quiet, attack.full), recipe.validation.eps

    assert ball(trained=False, side=32) == (8 / 255, ("ramp", 0.25, 0.75), 8 / 255)
    assert ball(trained=True, side=32) == (8 / 255, ("ramp", 0.1, 0.5), 8 / 255)
    assert ball(trained=True, side=64) == (4 / 255, ("ramp", 0.1, 0.5), 4 / 255)
    assert ball("vicinity.adversarial.eps=2/255", trained=True, side=224)[0] == 2 / 255
    batches = [settle(load_recipe("hardened"), trained=trained, side=64)[0].batch_size for trained in (True, False)]
    assert batches == [64, 128]


def test_what_fine_tuning_gave_stands_in_the_headers() -> None:
    assert {"natural", "hardened"} <= fine_tuned().keys()
    assert all("clean" in figures and "%" in figures for figures in fine_tuned().values())


def test_what_is_set_beats_what_trained_weights_would_change(tmp_path: Path) -> None:
    def rate(recipe: str, *sets: str) -> float:
        return settle(load_recipe(recipe, sets), trained=True, side=32)[0].optimizer.lr

    own = tmp_path / "own.yaml"
    own.write_text("optimizer: {lr: 0.2}\n")
    assert rate("natural") < load_recipe("natural").optimizer.lr
    assert rate(str(own)) == 0.2  # a file that names the rate means it
    assert (rate("natural", "optimizer.lr=0.3"), rate("natural", "fine_tuning.optimizer.lr=0.4")) == (0.3, 0.4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fine_tuning={optimizer: {lrr: 1}}", r"unknown key 'optimizer.lrr'. Did you mean 'optimizer.lr'\?"),
        ("lr=1", r"unknown key 'lr'. Did you mean 'beta.lr' or 'optimizer.lr'\?"),
        ("fine_tuning={data: {fit: stretch}}", "fine_tuning cannot change data.fit. Set it in the recipe itself"),
        ("fine_tuning={epochs: {x: 1}}", "fine_tuning: epochs.x: 'epochs' is no section of the recipe"),
        ("fine_tuning=3", "fine_tuning: Input should be a valid dictionary"),
        ("large_images.validation.eps=8", r"got 8. Did you mean 8/255\?"),
    ],
)
def test_faults_of_what_is_for_some_runs_alone_are_told_in_all(setting: str, message: str) -> None:
    with pytest.raises(HardenerError, match=message):
        load_recipe("sprout", [setting])


@pytest.mark.parametrize(("written", "value"), [("on", "on"), ("off", "off"), ("'on'", "on"), ("auto", "auto")])
def test_on_and_off_are_words_although_yaml_reads_them_as_truth_values(written: str, value: str) -> None:
    assert load_recipe("sprout", [f"compile={written}"]).compile == value
    for wrong in ("yess", "1", "[1]"):
        with pytest.raises(HardenerError, match="compile: Input should be 'auto', 'on' or 'off'"):
            load_recipe("sprout", [f"compile={wrong}"])


def test_all_faults_of_a_recipe_are_reported_together_with_the_nearest_name() -> None:
    with pytest.raises(HardenerError) as caught:
        load_recipe("sprout", ["epochs=0", "optimizer.lrr=1", "vicinity.noise=1", "validation.eps=8", "precision=half"])
    text = str(caught.value)
    for part in (
        "epochs: Input should be greater than 0; got 0",
        "unknown key 'optimizer.lrr'. Did you mean 'optimizer.lr'?",
        "unknown key 'vicinity.noise'. Did you mean 'vicinity.noise_sigma'?",
        "eps must lie in [0, 1] because images do; got 8.0. Did you mean 8/255?".replace("8.0", "8"),
        "precision: Input should be 'auto', 'float32' or 'bfloat16'; got 'half'",
    ):
        assert part in text


def test_other_faults_of_recipes(tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match=r"unknown recipe 'sprut'. Known: .*gaussian, .* Did you mean 'sprout'\?"):
        load_recipe("sprut")
    with pytest.raises(HardenerError, match="no recipe file nowhere.yaml"):
        load_recipe("nowhere.yaml")
    with pytest.raises(HardenerError, match="--set takes key=value"):
        load_recipe("sprout", ["epochs"])
    with pytest.raises(HardenerError, match="'epochs' is no section"):
        load_recipe("natural", ["epochs=3", "epochs.x=3"])
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(HardenerError, match="is not YAML"):
        load_recipe(str(tmp_path / "broken.yaml"))
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(HardenerError, match="must hold `key: value` lines"):
        load_recipe(str(tmp_path / "list.yaml"))


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ("trades", "vicinity.adversarial=null", "method trades needs vicinity.adversarial, such as"),
        ("free-at", "vicinity.adversarial=null", "method free-at needs vicinity.adversarial, such as"),
        ("trades", "vicinity.noise_sigma=0.1", "method trades takes images and labels as they are"),
        ("trades", "vicinity.labels.law=budget", "method trades takes images and labels as they are"),
        ("free-at", "vicinity.mixup_alpha=0.2", "method free-at takes images and labels as they are"),
        ("trades", "vicinity.adversarial.start=2", "method trades has its own start and stays in the ball"),
        ("free-at", "vicinity.adversarial.project=false", "method free-at has its own start and stays in the ball"),
        ("free-at", "vicinity.adversarial.steps=2", "replays minibatches instead of taking steps: set theta_steps"),
        ("free-at", "accumulate=2", "method free-at keeps a perturbation a minibatch"),
        ("free-at", "awp.gamma=0.01", "method free-at takes no awp"),
        ("trades-awp", "parallel=fsdp", "awp moves whole weights: it does not go with parallel=fsdp"),
    ],
)
def test_what_a_method_would_pass_over_is_refused(recipe: str, override: str, message: str) -> None:
    with pytest.raises(HardenerError, match=message):
        load_recipe(recipe, [override])


def test_all_that_a_method_refuses_is_told_at_once() -> None:
    with pytest.raises(HardenerError) as caught:
        load_recipe("free-at", ["vicinity.noise_sigma=0.1", "accumulate=2", "awp.gamma=0.1", "parallel=fsdp"])
    for part in ("no vicinity.noise_sigma", "it takes no accumulate above 1", "free-at takes no awp", "parallel=fsdp"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["sprout", "trades-awp"])
def test_what_version_0_1_wrote_into_a_run_means_the_same(name: str) -> None:
    """It held the section of TRADES in every recipe, and each vicinity with null where it was off."""
    written = load_recipe(name).model_dump(mode="json")
    written["trades"] = {"weight": 6.0}
    assert "adversarial" in written["vicinity"]
    assert check_recipe(written, "recipe.yaml") == load_recipe(name)
    written["trades"]["weight"] = 0
    with pytest.raises(HardenerError, match=r"trades.weight: Input should be greater than 0; got 0"):
        check_recipe(written, "recipe.yaml")
