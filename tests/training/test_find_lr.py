"""The learning-rate finder."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from test_run import Recorder, request
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.errors import HardenerError
from hardener.training.find_lr import HIGHEST, LOWEST, find_learning_rate, steepest


def test_the_steepest_place_before_the_minimum_is_suggested() -> None:
    rates = [10.0**-power for power in range(6, -1, -1)]
    assert steepest(rates, [2.0, 2.0, 1.9, 1.2, 1.15, 1.1, 3.0]) == rates[2]
    assert steepest(rates, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]) is None


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
    for place, path in enumerate(sorted(image_folder.rglob("*.png"))):  # classes that differ
        from PIL import Image

        Image.new("L", (8, 8), (40 if path.parent.name == "cat" else 210) + place % 5).save(path)
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
