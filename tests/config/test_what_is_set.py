"""What a user sets, by --set or in a file of their own, is what a recipe comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hardener
from hardener.config.recipe import load_recipe, new_recipe, settle
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError


def own(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


EPS = "vicinity.adversarial.eps"
ATTACK = "vicinity: {adversarial: {eps: 2/255}}"


@pytest.mark.parametrize(
    ("text", "overrides", "attack", "validation"),
    [
        (ATTACK, ("vicinity.adversarial.norm=linf",), ("linf", 2), ("linf", 2)),
        (ATTACK, ("validation.norm=linf",), ("linf", 2), ("linf", 2)),
        (ATTACK, ("validation.norm=l2",), ("linf", 2), ("l2", 127.5)),
        (ATTACK, ("vicinity.adversarial.norm=l2",), ("l2", 127.5), ("l2", 127.5)),
        ("vicinity: {adversarial: {norm: l2, eps: 1}}\nvalidation: {norm: l2}", (), ("l2", 255), ("l2", 255)),
        ("vicinity: {adversarial: {norm: l2, eps: 1}}\nvalidation: {norm: linf}", (), ("l2", 255), ("linf", 8)),
        (f"{ATTACK}\nvalidation: {{eps: 1/255}}", ("vicinity.adversarial.eps=4/255",), ("linf", 4), ("linf", 1)),
        (ATTACK, ("vicinity.adversarial={norm: l2, eps: 1}",), ("l2", 255), ("l2", 255)),
        ("vicinity: {adversarial: {norm: l2, eps: 1}}", (f"{EPS[:-4]}={{eps: 4/255}}",), ("linf", 4), ("linf", 4)),
        (
            f"{ATTACK}\nlarge_images: {{vicinity: {{adversarial: {{eps: 3/255}}}}, validation: {{eps: 1/255}}}}",
            ("vicinity.adversarial.eps=6/255",), ("linf", 6), ("linf", 1),
        ),
        (
            f"{ATTACK}\nlarge_images: {{vicinity: {{adversarial: {{eps: 3/255}}}}, validation: {{eps: 1/255}}}}",
            ("large_images.vicinity.adversarial.eps=6/255",), ("linf", 6), ("linf", 1),
        ),
        ("vicinity: {adversarial: {eps: 0.5}}\nvalidation: {eps: 1/2}", ("vicinity.adversarial.eps=0.2",),
         ("linf", 51), ("linf", 51)),
        ("validation: {eps: 1/255}", ("vicinity.adversarial.eps=4/255",), ("linf", 4), ("linf", 1)),
        (f"{ATTACK}\nlarge_images: {{vicinity: {{adversarial: {{eps: 3/255}}}}}}", (), ("linf", 3), ("linf", 3)),
        (
            f"{ATTACK}\nvalidation: {{eps: 1/255}}\nlarge_images: {{vicinity: {{adversarial: {{eps: 3/255}}}}}}",
            (), ("linf", 3), ("linf", 1),
        ),
    ],
)  # fmt: skip
def test_validation_follows_training_and_neither_is_moved_by_naming_what_it_is(
    text: str, overrides: tuple[str, ...], attack: tuple[str, float], validation: tuple[str, float], tmp_path: Path
) -> None:
    recipe, _ = settle(load_recipe(own(tmp_path, text), overrides), trained=False, side=224)
    ball: Any = dict(recipe.vicinity)["adversarial"]
    assert [ball.norm, recipe.validation.norm] == [attack[0], validation[0]]
    assert [255 * ball.eps, 255 * recipe.validation.eps] == pytest.approx([attack[1], validation[1]])


def test_naming_the_norm_that_a_recipe_has_leaves_its_eps_for_large_images() -> None:
    for key in ("vicinity.adversarial.norm", "validation.norm"):
        recipe, _ = settle(load_recipe("hardened", [f"{key}=linf"]), trained=False, side=224)
        assert recipe.validation.eps == pytest.approx(4 / 255)


@pytest.mark.parametrize(
    ("text", "override", "key", "value"),
    [
        ("large_images: {augment: {crop: true}}", "augment.crop.least=0.9", "augment.crop.least", 0.9),
        (
            "large_images: {vicinity: {adversarial: null}}",
            "vicinity.adversarial.eps=0.1",
            "vicinity.adversarial.eps",
            0.1,
        ),
        ("fine_tuning: {vicinity: {cutmix: {}}}", "vicinity.cutmix.alpha=0.1", "vicinity.cutmix.alpha", 0.1),
        ("fine_tuning: {averaging: null}", "averaging.decay=0.9", "averaging.decay", 0.9),
    ],
)
def test_a_field_that_is_set_beats_a_whole_section_from_trained_weights_or_large_images(
    text: str, override: str, key: str, value: float, tmp_path: Path
) -> None:
    recipe, _ = settle(load_recipe(own(tmp_path, text), [override]), trained=True, side=224)
    found: Any = recipe.model_dump()
    for part in key.split("."):
        found = found[part]
    assert found == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "vicinity: {noise_sigma: 0.1}\nepochs: 3\nvicinity: {mixup_alpha: 0.2}\n",
            "'vicinity' stands in line 1 and again in line 3",
        ),
        ("optimizer:\n  lr: 0.1\n  lr: 0.2\n", "'lr' stands in line 2 and again in line 3"),
        ("optimizer: {lr: 0.1, lr: 0.2}\n", "'lr' stands in line 1 and again in line 1"),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match=rf"own.yaml is not YAML: {said}. Put what is below both into one"):
        load_recipe(own(tmp_path, text))
    assert load_recipe(own(tmp_path, "epochs: 3\noptimizer: {lr: 0.1}\nbeta: {lr: 0.1}\n")).epochs == 3
    merged = "vicinity:\n  adversarial: &a {eps: 1/255}\nvalidation: &b\n  <<: *a\n  eps: 2/255\nlarge_images:\n"
    merged += "  validation:\n    <<: *b\n"
    assert load_recipe(own(tmp_path, merged)).validation.eps == 2 / 255


@pytest.mark.parametrize("text", ["fine_tuning: {data: {}}", "large_images: {network: {}}"])
def test_an_empty_section_puts_nothing_back_to_its_defaults(text: str, tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match="cannot change"):
        load_recipe(own(tmp_path, text))


@pytest.mark.parametrize("overrides", [("method=free-at",), ("method=free-at", "theta_steps=1")])
def test_free_adversarial_training_without_a_replay_is_refused(overrides: tuple[str, ...]) -> None:
    with pytest.raises(HardenerError, match="method free-at meets a minibatch with what climbed for the one before"):
        load_recipe("fast-at", overrides)
    assert load_recipe("free-at").theta_steps == 4


@pytest.mark.parametrize(
    "text",
    [
        "{method: free-at, theta_steps: 1, vicinity: {adversarial: {eps: 0.1}}}",
        "{vicinity: {mixup_alpha: 0.2}, batch_size: 8, accumulate: 8}",
        "{optimizer: {options: {lr: 1, weight_decay: 1}}}",
    ],
)
def test_a_run_that_was_trained_by_what_is_refused_now_can_be_read(text: str, tmp_path: Path) -> None:
    with pytest.raises(HardenerError):
        load_recipe(own(tmp_path, text))
    (tmp_path / "recipe.yaml").write_text(text)
    assert RunFolder(tmp_path).read_recipe().epochs == 30


@pytest.mark.parametrize(
    ("text", "overrides", "rate"),
    [
        ("optimizer: {name: adamw, lr: 0.0003}", (), 0.0003),
        ("optimizer: {name: adamw, lr: 0.0003}", ("optimizer.name=adamw",), 0.0003),
        ("optimizer: {name: adamw}", ("optimizer.name=sgd",), 0.05),
        ("optimizer: {name: adamw}", ("optimizer.name=sgd", "optimizer.lr=0.1"), 0.1),
        ("optimizer: {lr: 0.2}", ("optimizer.name=sgd",), 0.2),
        ("optimizer: {lr: 0.2}", ("optimizer.name=adamw",), 0.001),
        ("fine_tuning: {optimizer: {name: sgd, lr: 0.03}}", ("optimizer.name=adamw",), 0.001),
    ],
)
def test_another_optimiser_has_a_rate_of_its_own_and_the_same_one_keeps_it(
    text: str, overrides: tuple[str, ...], rate: float, tmp_path: Path
) -> None:
    assert load_recipe(own(tmp_path, text), overrides).optimizer.lr == rate


def test_a_setting_of_a_method_that_is_not_trained_by_is_refused_from_a_file_and_from_python(tmp_path: Path) -> None:
    left_out = r"trades\.weight=3.* sets nothing of own, which trains by the method vicinity-risk"
    with pytest.raises(HardenerError, match=left_out):
        new_recipe(own(tmp_path, "trades: {weight: 3}"))
    with pytest.raises(HardenerError, match="--set trades.weight=3 sets nothing of natural"):
        hardener.train("model.py", tmp_path, recipe="natural", settings={"trades.weight": 3})
    kept = new_recipe(own(tmp_path, f"method: trades\ntrades: {{weight: 3}}\n{ATTACK}"))
    assert kept.model_dump()["trades"] == {"weight": 3}


def test_a_section_that_version_0_1_wrote_into_all_recipes_may_stand_in_a_file(tmp_path: Path) -> None:
    assert "trades" not in new_recipe(own(tmp_path, "trades: {weight: 6.0}")).model_dump()


def test_a_ramp_is_refused_only_where_what_is_for_trained_weights_applies() -> None:
    recipe = load_recipe("hardened", ["vicinity.adversarial.quiet=0.6"])
    assert settle(recipe, trained=False, side=8)[0] == recipe.model_copy(update={"fine_tuning": {}, "large_images": {}})
    with pytest.raises(HardenerError, match=r"hardened with its fine_tuning: .*quiet=0.6 and full=0.5 are out of"):
        settle(recipe, trained=True, side=8)
    with pytest.raises(HardenerError, match="out of order"):
        load_recipe("hardened", ["fine_tuning.vicinity.adversarial.quiet=0.6"])


def test_what_an_option_gives_is_not_given_otherwise_by_set(tmp_path: Path) -> None:
    size = {"data.image_size": "32", "epochs": 2, "batch_size": None}
    for text in ("data.image_size=64", "data={fit: stretch}"):
        with pytest.raises(HardenerError, match=r"an option of its own gives data\.image_size as 32\. Leave one out"):
            new_recipe("natural", [text], size)
    found = new_recipe("natural", ["epochs=2.0", "data.image_size=32x32", "batch_size=8"], size)
    assert (found.epochs, found.data.image_size, found.batch_size) == (2, (32, 32), 8)
    with pytest.raises(HardenerError, match="--set data.image_size=128: an option of its own gives"):
        hardener.train("m.py", tmp_path, image_size=96, settings={"data.image_size": 128})
