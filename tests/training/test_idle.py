"""What is set and does nothing is told, with what works instead; what a run would cost is told as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_asked_for import settled
from test_run import Recorder, request

from hardener.config.recipe import load_recipe
from hardener.errors import HardenerError
from hardener.training.ending import TimeLimit, what_is_cut
from hardener.training.epoch_cost import EpochCost
from hardener.training.prepare import prepare


@pytest.mark.parametrize(
    ("recipe", "sets", "said"),
    [
        ("natural", ("optimizer.name=adamw", "optimizer.momentum=0.1"), "momentum in optimizer does nothing: adamw"),
        ("n-fgsm", ("vicinity.adversarial.last_steps=1",), "last_steps=1 in vicinity.adversarial does nothing: all"),
        (
            "natural", ("vicinity.labels.law=uniform", "vicinity.labels.alpha=0.3"),
            "alpha in vicinity.labels does nothing: the law uniform reads smoothing alone",
        ),
        (
            "natural", ("vicinity.labels.law=budget", "vicinity.labels.total_concentration=5"),
            "total_concentration in vicinity.labels does nothing: the law budget with the mean of its draws reads draw",
        ),
        ("sprout", ("beta.learn=false", "beta.lr=0.3"), "lr in beta does nothing: beta.learn=false keeps the vector"),
        ("natural", ("beta_batch=clean",), "beta_batch=clean does nothing: no vector is learned for the labels"),
        ("natural", ("batch_size=64", "accumulate=64"), "accumulate=64 cuts a minibatch of 64 into single images"),
        ("natural", ("epochs=2", "optimizer.warmup_epochs=20"), "optimizer.warmup_epochs=20 is cut to 1: the learning"),
    ],
)  # fmt: skip
def test_more_settings_without_effect_are_told(recipe: str, sets: tuple[str, ...], said: str, tmp_path: Path) -> None:
    assert [line for line in settled(recipe, sets, tmp_path).warned if line.startswith(said)]


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        ("trades", "beta.max=3"),
        ("certified", "vicinity.labels.smoothing=0.1"),
        ("trades", "vicinity.adversarial.quiet=0.1"),
    ],
)
def test_nothing_is_advised_that_the_method_refuses(recipe: str, key: str, tmp_path: Path) -> None:
    (told,) = [line for line in settled(recipe, (key,), tmp_path).warned if "does nothing" in line]
    assert told.endswith("so that this does nothing. Leave it out")


def test_what_the_images_leave_without_effect_is_told(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    told = Recorder()
    sets = ("resize.first=0.5", "data.val_fraction=0.3")
    validation = image_folder.parent / "validation"
    shutil.copytree(image_folder, validation)
    prepare(request(model_file, image_folder, tmp_path, sets=sets, validation_root=validation), told)
    assert [line for line in told.warned if line.startswith("resize.first=0.5 does nothing: images of 8x8")]
    assert [line for line in told.warned if line.startswith("data.val_fraction=0.3 does nothing: no validation split")]


def test_weights_are_named_of_a_file_and_mixing_needs_two_images(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(HardenerError, match="--weights ema is one of several in --init, and none is given: add --init"):
        prepare(request(model_file, image_folder, tmp_path, weights="ema"), Recorder())
    told = settled("mixup", ("batch_size=1",), tmp_path).warned
    assert told == ["mixup_alpha in vicinity does nothing: a minibatch of one image holds no other to mix it with"]


def test_epochs_that_cost_more_later_are_not_promised_by_the_price_of_the_first() -> None:
    """A run of 30 epochs whose eps rises, by six steps, was cut off after 9: nine alone take twice as long."""
    sets = ["epochs=30", "vicinity.adversarial.schedule=ramp", "vicinity.adversarial.steps=6"]
    recipe = load_recipe("hardened", sets)
    assert what_is_cut(recipe, 9, 0.1).endswith("A run with --epochs 4 gets to the end")
    told = TimeLimit(100.5).outlook(recipe, 1, 10.0)
    assert told is not None
    assert told.endswith("A run with --epochs 2 gets there")
    headed = EpochCost(load_recipe("natural", ["epochs=30", "network.head_first=3"]))
    assert headed.fitting(sum(headed.all_of(30)[:9])) == 9


def test_an_empty_section_of_a_file_is_left_out_and_a_run_is_no_recipe(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: own\naugment:\nfine_tuning:\nvicinity:\n")
    assert load_recipe(str(own)) == load_recipe("natural", ["name=own"])
    (tmp_path / "recipe.yaml").write_text("name: own\n")
    with pytest.raises(HardenerError, match=r"is a run. Its recipe is the file .*: --recipe .*recipe.yaml"):
        load_recipe(str(tmp_path))
    color = load_recipe("natural", ["augment.color=true", "augment.color.saturation=0"]).augment
    assert color.model_dump()["color"]["saturation"] == 0


def test_the_epochs_that_are_advised_end_within_the_same_limit() -> None:
    recipe = load_recipe("natural", ["epochs=30"])
    for seconds in (5.8, 7.9, 10.0):
        told = TimeLimit(seconds).outlook(recipe, 1, 1.0)
        assert told is not None
        assert int(told.split("--epochs ")[1].split()[0]) <= seconds + 1


def test_a_law_is_told_what_it_reads(tmp_path: Path) -> None:
    sets = ("vicinity.labels.draw=sampled", "vicinity.labels.total_concentration=50")
    said = "total_concentration in vicinity.labels does nothing: the law paper reads alpha and draw alone"
    assert said in settled("sprout", (*sets, "vicinity.labels.law=paper"), tmp_path).warned
    assert not [line for line in settled("sprout", sets, tmp_path).warned if "does nothing" in line]


def test_groups_are_told_of_where_the_data_is_divided_already(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    divided = tmp_path / "divided"
    for split in ("train", "val", "test"):
        shutil.copytree(image_folder, divided / split)
    for data, lines in ((image_folder, 0), (divided, 1)):
        told = Recorder()
        prepare(request(model_file, data, tmp_path, sets=("data.group_by={group}.png",)), told)
        assert sum(line.startswith("data.group_by={group}.png draws nothing") for line in told.warned) == lines
