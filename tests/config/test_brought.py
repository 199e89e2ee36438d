"""What a method or a vicinity needs to be there: its file and its line of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from oracles import TINY_MODEL
from typer.testing import CliRunner, Result

from hardener.augmentation import AUGMENTATIONS
from hardener.cli.app import app
from hardener.config.recipe import check_recipe, load_recipe, recipe_files, settle
from hardener.config.section import SectionEntry
from hardener.errors import HardenerError
from hardener.methods import METHODS, MethodEntry
from hardener.training.build import build_method
from hardener.vicinity import VICINITIES, VicinityEntry

ERASE = '''
"""A share of the pixels turned grey."""

import torch
from torch import Tensor

from hardener.config.section import Section, Share


class Settings(Section):
    """`share` of the pixels that turn grey, on average."""

    share: Share = 0.1


def grey(images: Tensor, soft_labels: Tensor, *, share: float) -> tuple[Tensor, Tensor]:
    """Turn a random share of the pixels grey, all channels of a pixel together; labels stay."""
    kept = torch.rand_like(images[:, :1]) >= share
    return torch.where(kept, images, 0.5), soft_labels
'''
SQUEEZE = '''
"""Cross-entropy, and a weight on the size of the logits."""

from hardener.config.section import Positive, Section
from hardener.losses.cross_entropy import cross_entropy
from hardener.methods.method import Method


class Settings(Section):
    """`weight` of the squared logits."""

    weight: Positive = 0.05


class Squeeze(Method):
    """CE(z, y) + weight |z|^2."""

    def __init__(self, *, weight):
        super().__init__()
        self.weight = weight

    @classmethod
    def build(cls, recipe, num_classes):
        """Return the method as a recipe describes it."""
        return cls(weight=recipe.own(Settings).weight)

    def loss(self, model, images, labels):
        """Return the mean loss of a minibatch."""
        logits = model(images)
        return cross_entropy(logits, labels).mean() + self.weight * logits.square().sum(dim=1).mean()
'''
Command = Callable[..., Result]


@pytest.fixture
def hardener(tmp_path: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, with a vicinity `erase` and a method `squeeze` of one file and one line each."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_erase.py").write_text(ERASE)
    (tmp_path / "own_squeeze.py").write_text(SQUEEZE)
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    monkeypatch.setitem(VICINITIES, "erase", VicinityEntry("own_erase:grey", "grey", settings="Settings"))
    monkeypatch.setitem(METHODS, "squeeze", MethodEntry("own_squeeze:Squeeze", "small logits", settings="Settings"))
    sets = ["epochs=1", "batch_size=8", "validation.steps=1", "validation.samples=4"]

    def command(name: str, *words: object) -> Result:
        if name == "train":
            where = [tmp_path / "tiny.py", "--data", image_folder, "--device", "cpu", "--out", tmp_path / "runs"]
            words = (*where, *(word for key in sets for word in ("--set", key)), *words)
        return CliRunner().invoke(app, [name, *map(str, words)])

    return command


def test_a_vicinity_of_one_file_and_one_line_is_a_section_of_every_recipe(hardener: Command, tmp_path: Path) -> None:
    assert yaml.safe_load(hardener("recipes", "natural").stdout.partition("\n\n")[2])["vicinity"]["erase"] is None
    found = hardener("train", "--recipe", "natural", "--set", "vicinity.erase.share=1", "--name", "grey")
    assert found.exit_code == 0, found.output
    written = yaml.safe_load((tmp_path / "runs" / "grey" / "recipe.yaml").read_text())
    assert written["vicinity"]["erase"] == {"share": 1.0}
    asked = load_recipe("natural", ["vicinity.erase.share=1", "augment.flip=false", *sets_of(written)])
    assert check_recipe(written, "recipe.yaml") == settle(asked, trained=False, side=8)[0]
    method = build_method(load_recipe("natural", ["vicinity.erase.share=1"]), 2)
    seen: list[torch.Tensor] = []
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    network.register_forward_pre_hook(lambda _, batch: seen.append(batch[0]))
    method.loss(network, torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 0, 1]))
    assert torch.equal(seen[0], torch.full((4, 3, 2, 2), 0.5))


def sets_of(written: dict[str, object]) -> list[str]:
    """What the fixture's command sets in each recipe."""
    validation = written["validation"]
    assert isinstance(validation, dict)
    return [
        *(f"{key}={written[key]}" for key in ("epochs", "batch_size")),
        *(f"validation.{key}={validation[key]}" for key in ("steps", "samples")),
    ]


def test_a_method_of_one_file_and_one_line_trains_by_a_recipe_that_names_it(hardener: Command, tmp_path: Path) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text("method: squeeze\nsqueeze: {weight: 0.5}\n")
    assert yaml.safe_load(hardener("recipes", recipe).stdout)["squeeze"] == {"weight": 0.5}
    found = hardener("train", "--recipe", recipe, "--name", "small")
    assert found.exit_code == 0, found.output
    written = yaml.safe_load((tmp_path / "runs" / "small" / "recipe.yaml").read_text())
    assert (written["method"], written["squeeze"]) == ("squeeze", {"weight": 0.5})
    assert load_recipe("natural", ["method=squeeze"]).model_dump()["squeeze"] == {"weight": 0.05}
    assert "squeeze" not in load_recipe("natural", ["squeeze.weight=1"]).model_dump()


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["vicinity.erase.share=2"], "vicinity.erase.share: Input should be less than or equal to 1; got 2."),
        (["vicinity.erase.shares=0"], "unknown key 'vicinity.erase.shares'. Did you mean 'vicinity.erase.share'?"),
        (["vicinity.erse.share=0"], "unknown key 'vicinity.erse'. Did you mean 'vicinity.erase'?"),
        (["method=squeeze", "squeeze.weight=0"], "squeeze.weight: Input should be greater than 0; got 0."),
        (["squeeze.weight=0"], "squeeze.weight: Input should be greater than 0; got 0."),
        (["sqeeze.weight=1"], "unknown key 'sqeeze'. Did you mean 'squeeze'?"),
        (["method=squeze"], ", squeeze. Did you mean 'squeeze'?"),
        (
            ["method=squeeze", "vicinity.erase.share=0.5", "vicinity.noise_sigma=1", "awp.gamma=1", "parallel=fsdp"],
            "method squeeze takes images and labels as they are: no vicinity.noise_sigma, vicinity.erase. awp moves",
        ),
    ],
)
def test_a_wrong_value_of_its_settings_is_told_like_any_other(sets: list[str], message: str, hardener: Command) -> None:
    with pytest.raises(HardenerError) as caught:
        load_recipe("natural", sets)
    assert message in str(caught.value)
    assert hardener("train", *(word for key in sets for word in ("--set", key))).exit_code == 2


def test_faults_of_what_is_brought_are_told_together_with_all_others(hardener: Command) -> None:
    with pytest.raises(HardenerError) as caught:
        load_recipe("natural", ["epochs=0", "vicinity.erase.share=2", "method=trades", "trades.weight=0", "vicinit=1"])
    for part in (
        "epochs:",
        "vicinity.erase.share:",
        "trades.weight:",
        "unknown key 'vicinit'. Did you mean 'vicinity'",
    ):
        assert part in str(caught.value)


def test_no_section_of_a_method_or_vicinity_hides_another() -> None:
    from hardener.config.brought import method_sections
    from hardener.config.schema import Augment, Recipe, Vicinity
    from hardener.config.section import key_of

    names = [*Recipe.model_fields, *method_sections()]
    assert len(set(names)) == len(names)
    keys = [key_of(name, entry) for name, entry in VICINITIES.items()]
    assert len(set(keys)) == len(keys)
    standing = {key_of(name, entry) for name, entry in VICINITIES.items() if entry.settings is None}
    assert standing == set(Vicinity.model_fields)
    moves = {key_of(name, entry) for name, entry in AUGMENTATIONS.items() if entry.settings is None}
    assert moves | {"policy"} == set(Augment.model_fields)


@pytest.mark.parametrize("catalog", [METHODS, VICINITIES, AUGMENTATIONS])
def test_every_section_has_a_default_for_each_field_and_says_what_they_mean(catalog: dict[str, SectionEntry]) -> None:
    for entry in catalog.values():
        if entry.settings is not None:
            kind = entry.load_settings()
            kind()
            assert kind.__module__ == entry.module
            assert all(f"`{name}`" in str(kind.__doc__) for name in kind.__annotations__)


def test_the_first_method_is_the_default_and_needs_no_file_of_its_own() -> None:
    entry = next(iter(METHODS.values()))
    assert (entry.settings, entry.faults) == (None, None)
    assert load_recipe("natural").method == next(iter(METHODS)) == "vicinity-risk"


@pytest.mark.parametrize("name", recipe_files())
def test_a_recipe_holds_the_section_of_its_own_method_alone_and_reads_what_it_wrote(name: str) -> None:
    recipe = load_recipe(name)
    written = recipe.model_dump(mode="json")
    assert ("trades" in written) == (recipe.method == "trades")
    assert check_recipe(written, "recipe.yaml") == recipe
