"""The learning-rate finder."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles import write_levels
from test_run import Recorder, request
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.training.find_lr import HIGHEST, LOWEST, find_learning_rate, steepest
from hardener.training.request import TrainRequest

RATES = [LOWEST * (HIGHEST / LOWEST) ** (step / 99) for step in range(100)]


def curve(*, at: float, depth: float, early: float = 0.0) -> list[float]:
    """A loss that falls by `depth` around a rate and grows from 1 on; its first steps are off by up to `early`."""
    chance = random.Random(0)
    found = []
    for step, rate in enumerate(RATES):
        fallen = depth / (1 + (at / rate) ** 2)
        noise = chance.uniform(-1, 1) * (early / (1 + step) + 0.004)
        found.append(2.3 - fallen + max(0.0, rate - 1) + noise)
    return found


@pytest.mark.parametrize("at", [1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize(("depth", "early"), [(0.8, 0.0), (0.8, 1.0), (0.1, 0.6)])
def test_the_rate_is_suggested_around_which_the_loss_falls_whatever_the_first_steps_say(
    at: float, depth: float, early: float
) -> None:
    found = steepest(RATES, curve(at=at, depth=depth, early=early))
    assert found is not None
    assert at / 2 < found < 2 * at


def test_no_rate_is_suggested_where_the_loss_falls_by_chance_alone() -> None:
    assert steepest(RATES, curve(at=1e-2, depth=0, early=1.0)) is None
    assert steepest(RATES, [1 + 0.1 * step for step in range(100)]) is None
    assert steepest(RATES[:12], [2.0 - 0.1 * step for step in range(12)]) is None


def test_rates_grow_until_the_loss_does_and_nothing_is_written(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    found = find_learning_rate(request(model_file, image_folder, tmp_path / "runs", "natural"), Recorder())
    assert found.rates[0] == LOWEST
    assert list(found.rates) == sorted(found.rates)
    assert found.rates[-1] <= HIGHEST * 1.001
    assert len(found.losses) == len(found.rates)
    assert found.suggested is None or found.rates[0] < found.suggested < found.rates[-1]
    assert not (tmp_path / "runs").exists()


def test_the_rate_that_a_run_from_trained_weights_would_have_is_told(
    model_file: Path, image_folder: Path, straight: Callable[[str], RunFolder]
) -> None:
    recipe = load_recipe("natural", ["batch_size=5"])
    start = straight("sprout").path
    asked = TrainRequest(model=str(model_file), data=image_folder, recipe=recipe, device="cpu", init=start)
    assert find_learning_rate(asked, Recorder()).own == recipe.fine_tuning["optimizer"]["lr"] != recipe.optimizer.lr


def test_several_processes_are_refused(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(HardenerError, match="--find-lr works in one process: start it without torchrun."):
        find_learning_rate(request(model_file, image_folder, tmp_path), Recorder())


def test_the_command_that_it_names_trains_at_the_rate(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "clear.py").write_text(
        "from torch import nn\n"
        "def build_model(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    write_levels(image_folder)
    words = [str(tmp_path / "clear.py"), "--data", str(image_folder), "--recipe", "natural", "--epochs", "1"]
    words += ["--batch-size", "5", "--device", "cpu", "--out", str(tmp_path / "runs"), "--no-rehearsal"]
    found = CliRunner().invoke(app, ["train", *words, "--find-lr", "--set", "optimizer.lr=0.3"])
    assert found.exit_code == 0, found.output
    assert "; the recipe has 0.3" in found.output
    named = found.output.partition("next: hardener ")[2].strip()
    assert "--find-lr" not in named
    assert "optimizer.lr=0.3" not in named
    again = CliRunner().invoke(app, shlex.split(named))
    assert again.exit_code == 0, again.output
    assert "kept epoch 1 of 1" in again.output


def test_weights_that_are_perturbed_are_perturbed_in_the_trial_too(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    plain, perturbed = (
        find_learning_rate(request(model_file, image_folder, tmp_path, "natural", sets), Recorder()).losses
        for sets in ((), ("awp.gamma=1", "awp.warmup_epochs=0"))
    )
    assert perturbed[5] > plain[5]


def test_blocks_that_keep_no_activations_keep_none_here_either(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("hardener.training.find_lr.recompute", lambda blocks: seen.append(len(blocks)))
    for sets in ((), ("network.checkpoint=true",)):
        find_learning_rate(request(model_file, image_folder, tmp_path / "runs", "natural", sets), Recorder())
    assert len(seen) == 1
    assert seen[0] > 0
