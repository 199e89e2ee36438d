"""A run whose kept model code is no longer what it was trained with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from typer.testing import CliRunner, Result

import hardener as door
from hardener.cli.app import app
from hardener.config.bundle import sha256_of
from hardener.config.evaluation_record import read_evaluations
from hardener.config.run_folder import RunFolder
from hardener.models.trained import changed_code

TOLD = "runs/r/model/net.py is not as in the training of runs/r: its weights may now run in another network."


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, whose model file imports another."""
    home = tmp_path_factory.mktemp("made")
    (home / "net.py").write_text(f"import part\n{TINY_MODEL}")
    (home / "part.py").write_text("WIDTH = 6\n")
    write_image_folder(home / "imgs", {"cat": 12, "dog": 12})
    quick = ["--recipe", "natural", "--epochs", "1", "--name", "r", "--out", home / "runs"]
    assert hardener("train", home / "net.py", "--data", home / "imgs", *quick).exit_code == 0
    return home


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy of it in the current folder."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "home"))
    return RunFolder(Path("runs/r"))


def edit(run: RunFolder, before: str = "nn.ReLU()", after: str = "nn.Tanh()") -> None:
    file = run.model_files / "net.py"
    file.write_text(file.read_text().replace(before, after))


def test_it_is_told_and_its_evaluations_are_flagged(run: RunFolder) -> None:
    whole = hardener("eval", "r", "--attack", "fgsm", "--samples", 4)
    assert "is not as in the training" not in whole.output
    edit(run)
    assert TOLD in hardener("eval", "r", "--attack", "fgsm", "--samples", 4).output
    flags = [[flag.id for flag in found.flags] for found in read_evaluations(run.evaluations)]
    assert ["code-changed" in ids for ids in flags] == [False, True]
    min(run.evaluations.glob("*.json")).unlink()
    assert TOLD in hardener("export", "r").output
    assert f"`code-changed`: {TOLD}" in (run.bundle / "model_card.md").read_text()
    assert "carries the flag code-changed" in hardener("gate", "r", "--min", "clean=0.0").output
    with pytest.warns(UserWarning, match="is not as in the training of"):
        door.load("r")


def test_it_is_told_before_weights_that_fit_no_more(run: RunFolder) -> None:
    edit(run, "6", "5")
    found = hardener("eval", "r")
    assert found.exit_code == 2
    assert TOLD in found.output


def test_every_file_is_looked_at_and_older_runs_are_not(run: RunFolder) -> None:
    record = run.read_record()
    assert list(record.model.files) == ["model/net.py", "model/part.py"]
    assert changed_code(run, record) is None
    (run.model_files / "part.py").unlink()
    edit(run)
    told = changed_code(run, record)
    assert told is not None
    assert told.startswith("runs/r/model/net.py, runs/r/model/part.py are not as in the training of runs/r")
    fields = json.loads(run.record_file.read_text())
    for name in ("files", "replace_head", "unfetched"):  # what version 0.2 did not write
        del fields["model"][name]
    run.record_file.write_text(json.dumps(fields))
    assert changed_code(run, run.read_record()) is None


def test_code_and_settings_outside_of_the_run_count_too(run: RunFolder, tmp_path: Path) -> None:
    other = tmp_path / "act.yaml"
    other.write_text("act: ReLU")
    record = run.read_record()
    record.model.outside = {str(other): sha256_of(other)}
    assert changed_code(run, record) is None
    other.write_text("act: Tanh")
    assert (changed_code(run, record) or "").startswith(f"{other} is not as in the training of runs/r")
