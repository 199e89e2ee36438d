"""A finished run whose weights were removed: what still speaks of its figures, and what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from run_folders import bits, write_evaluation, write_run
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.models.trained import open_classifier


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunFolder, RunFolder]:
    """Two evaluated runs in the current folder, the first without its weights."""
    monkeypatch.chdir(tmp_path)
    found = write_run(Path("runs"), "gone"), write_run(Path("runs"), "whole", seed=1)
    for run in found:
        write_evaluation(run, bits(95, 100), bits(40, 100))
    found[0].weights.unlink()
    return found


def test_the_gate_judges_no_run_without_weights(runs: tuple[RunFolder, RunFolder]) -> None:
    told = "runs/gone/model.safetensors is missing: nothing tells which weights were evaluated."
    found = hardener("gate", "gone", "--min", "clean=0.5")
    assert found.exit_code == 2
    assert told in found.output
    found = hardener("gate", "whole", "--max-drop", "clean=0.5", "--against", "gone")
    assert found.exit_code == 2
    assert told in found.output
    assert hardener("gate", "whole", "--min", "clean=0.5").exit_code == 0


def test_comparison_and_dossier_say_that_the_weights_are_gone(runs: tuple[RunFolder, RunFolder]) -> None:
    told = "runs/gone/model.safetensors is missing: nothing tells which weights were evaluated."
    assert told in hardener("compare", "gone", "whole").output
    assert told in hardener("dossier", "gone").output
    page = Path("dossier.html").read_text()
    assert "<h3>No weights</h3>" in page
    assert "is missing: nothing tells which weights were evaluated." in page
    assert "the weights, an exported file" in page
    hardener("dossier", "whole")
    assert "No weights" not in Path("dossier.html").read_text()


def test_a_finished_run_without_weights_is_not_sent_to_resume(runs: tuple[RunFolder, RunFolder]) -> None:
    run = runs[0]
    record = run.read_record()
    with pytest.raises(HardenerError, match="is missing, and the run is finished") as caught:
        open_classifier(run, record)
    (command,) = re.findall("train it again: (hardener train .*)", str(caught.value))
    assert "--resume" not in command
    assert hardener(*shlex.split(command)[1:], "--help").exit_code == 0
    record.status = "interrupted"
    with pytest.raises(HardenerError, match=r"no trained weights yet. Go on with: hardener train --resume runs/gone"):
        open_classifier(run, record)


def test_a_run_that_was_stopped_is_sent_on_with_by_the_gate(runs: tuple[RunFolder, RunFolder]) -> None:
    run = runs[0]
    record = run.read_record()
    record.status = "interrupted"
    run.write_record(record)
    run.weights.unlink(missing_ok=True)
    found = hardener("gate", "gone", "--min", "clean=0.5")
    assert found.exit_code != 0
    assert "has no trained weights yet. Go on with `hardener train --resume runs/gone`" in found.output.replace(
        "\n", " "
    )
