"""`hardener quickstart`: what it prints next must work as printed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hardener.cli.app import app


def test_the_printed_commands_work_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["quickstart", "a first try"])
    assert found.exit_code == 0, found.output
    recipe = tmp_path / "a first try" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("epochs: 15", "epochs: 1"))
    commands = [line.strip() for line in found.output.splitlines() if line.startswith("  hardener ")]
    assert [shlex.split(command)[1] for command in commands] == ["train", "eval", "export"]
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output)
    assert [path.name for path in tmp_path.glob("runs/*/bundle/model.onnx")] == ["model.onnx"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    found = CliRunner().invoke(app, ["quickstart", str(tmp_path)])
    assert found.exit_code == 2
    assert "is there and not empty. Name a new folder: hardener quickstart" in found.output.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
