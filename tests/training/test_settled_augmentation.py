"""What a recipe's `augment` comes to on the images at hand, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_run import Recorder, request

from hardener.config.recipe import load_recipe
from hardener.config.section import Section
from hardener.errors import HardenerError
from hardener.progress import Silent
from hardener.training.augmentation import Pictured, mirrors, settle_augmentation
from hardener.training.order import DataOrder
from hardener.training.prepare import prepare
from hardener.training.run import train


def pictured(
    side: int = 32, count: int = 5000, *, color: bool = True, classes: tuple[str, ...] = ("cat", "dog")
) -> Pictured:
    return Pictured(side, side, count, color, classes)


@pytest.mark.parametrize(
    ("classes", "color", "expected", "why"),
    [
        (("cat", "dog"), True, True, "photographs"),
        (("cat", "dog"), False, False, "gray"),
        (("0", "1", "10"), True, False, "(0, 1, 10) look like digits"),
        (("A", "b", "Three", "digit_4"), True, False, "(A, b, Three, …) look like digits"),
        (("00000", "00042"), True, False, "digits"),
        (("5", "cat"), True, True, "photographs"),
        (("turn left", "stop"), True, False, "the class turn left tells sides apart"),
        (("TurnLeft", "stop"), True, False, "the class TurnLeft tells sides apart"),
        (("right1", "stop"), True, False, "the class right1 tells sides apart"),
        (("bright", "leftover", "Copyright", "LEFTOVERS"), True, True, "photographs"),
    ],
)
def test_photographs_are_mirrored_and_digits_letters_and_gray_images_are_not(
    classes: tuple[str, ...], color: bool, expected: bool, why: str
) -> None:
    found, line = mirrors(pictured(color=color, classes=classes))
    assert found is expected
    assert why in line
    assert f"--set augment.flip={str(not expected).lower()}" in line


def settled(*sets: str, images: Pictured | None = None) -> dict[str, object]:
    asked = load_recipe("natural", sets)
    told = asked.augment.model_fields_set
    recipe = settle_augmentation(asked, images or pictured(), Silent(), told=told)
    return {key: dict(value) if isinstance(value, Section) else value for key, value in recipe.augment.on().items()}


def test_a_policy_follows_size_and_number_and_leaves_what_the_recipe_sets() -> None:
    erased = {"chance": 0.25, "least": 0.02, "most": 1 / 3, "ratio": 10 / 3}
    assert settled("augment.policy=light") == settled() == {"shift": 0.125, "flip": True}
    assert settled("augment.policy=standard") == {"shift": 0.125, "flip": True, "erase": erased}
    assert settled("augment.policy=strong", "augment.erase.chance=0.5", "augment.shift=0") == {
        "flip": True,
        "trivial": {"strength": 1.0},
        "erase": {**erased, "chance": 0.5},
    }
    left = settled("augment.policy=strong", "augment.erase=false", "augment.trivial=null", "augment.shift=0.125")
    assert left == {"shift": 0.125, "flip": True}
    kept = settled("augment.policy=light", "augment.shift=0.125", images=pictured(224))
    assert kept == {"shift": 0.125, "flip": True}
    asked = load_recipe("natural", ["augment.policy=strong"])
    whole = settle_augmentation(asked, pictured(), Silent(), told=set(type(asked.augment).model_fields))
    assert set(whole.augment.on()) == {"shift", "flip", "trivial", "erase"}, "a run's own file sets every field"
    large = settled("augment.policy=standard", images=pictured(224))
    assert set(large) == {"flip", "crop", "color"}
    for count, least in ((9_999, 0.35), (10_000, 0.2), (100_000, 0.08)):
        found = settled("augment.policy=strong", images=pictured(64, count))
        assert set(found) == {"flip", "crop", "trivial", "erase"}
        assert found["crop"] == {"least": least, "ratio": 4 / 3}
    gray = settled("augment.policy=standard", images=pictured(224, color=False))
    assert gray["color"] == {"brightness": 0.2, "contrast": 0.2, "saturation": 0.0, "hue": 0.0}
    assert "flip" not in gray


def test_true_takes_an_augmentations_defaults_and_false_leaves_it_out() -> None:
    assert settled("augment.trivial=true", "augment.erase=false")["trivial"] == {"strength": 1.0}
    assert set(settled("augment.trivial=true", "augment.erase=false")) == {"shift", "flip", "trivial"}
    with pytest.raises(HardenerError, match=r"unknown key 'augment.trivia'. Did you mean 'augment.trivial'\?"):
        load_recipe("natural", ["augment.trivia=true"])
    with pytest.raises(HardenerError, match=r"least=0.5 is larger than most=0.1: exchange them"):
        load_recipe("natural", ["augment.erase.least=0.5", "augment.erase.most=0.1"])


def test_what_needs_colour_is_refused_for_gray_images_and_the_line_that_helps_is_named() -> None:
    asked, gray = ["augment.color.hue=0.1"], pictured(color=False)
    with pytest.raises(HardenerError) as caught:
        settled(*asked, images=gray)
    told = str(caught.value)
    assert told == (
        "the images are gray, and augment.color.saturation and augment.color.hue need colour. Leave them out: --set "
        "augment.color.saturation=0 --set augment.color.hue=0."
    )
    followed = [word.rstrip(".") for word in told.partition("out: ")[2].split() if word != "--set"]
    assert "color" in settled(*asked, *followed, images=gray)
    assert "color" in settled(*asked, images=pictured())


def test_a_run_writes_what_its_images_decided_and_trains_by_it(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("epochs=1", "augment.policy=strong", "augment.patch_gaussian=true")
    asked = request(model_file, image_folder, tmp_path / "runs", "natural", sets)
    reporter = Recorder()
    run = train(asked, reporter)
    written = run.read_recipe()
    assert written.augment.policy is None
    assert set(written.augment.on()) >= {"trivial", "erase", "patch_gaussian"}
    assert any("mirrored" in line for line in reporter.said)
    assert any(line.startswith("augment.policy=strong for") and "trivial" in line for line in reporter.said)
    prepared = prepare(asked, Recorder())
    assert prepared.recipe == written
    order = DataOrder(prepared.material.train_images, written, seed=0, device=prepared.material.device)
    assert len(order._augmentations) == len(written.augment.on())
