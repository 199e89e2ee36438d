"""What makes a figure less trustworthy than it looks goes along: from the evaluation to a server's /model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import httpx
import pytest
from oracles import TINY_MODEL, write_image_folder
from running import server
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.run_folder import RunFolder


def hardener(*words: object) -> None:
    found = CliRunner().invoke(app, [str(word) for word in words])
    assert found.exit_code == 0, found.output


def trained(home: Path, name: str) -> RunFolder:
    """Train on a folder of the run's own."""
    for split, seed in (("train", 0), ("val", 1), ("test", 2)):
        write_image_folder(home / name / split, {"cat": 8, "dog": 8}, seed=seed)
    words = ("--epochs", "1", "--batch-size", "16", "--device", "cpu", "--recipe", "natural", "--name", name)
    hardener("train", home / "tiny.py", "--data", home / name, "--out", home / "runs", *words)
    return RunFolder(home / "runs" / name)


def evaluated(run: RunFolder, *words: object) -> None:
    """Evaluate and export, and write a dossier beside the bundle."""
    hardener("eval", run.path, "--attack", "fgsm", "--device", "cpu", *words)
    hardener("export", run.path)
    hardener("dossier", run.path, "--out", run.path / "dossier.html")


@pytest.mark.slow
@pytest.mark.long
def test_a_server_tells_what_its_figures_suffer_from(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    seen = trained(tmp_path, "trained-on")
    shutil.copytree(tmp_path / "trained-on" / "train", tmp_path / "again" / "test")
    evaluated(seen, "--data", tmp_path / "again")
    changed = trained(tmp_path, "data-changed")
    own = tmp_path / "data-changed" / "test"
    os.replace(own / "cat" / "001.png", own / "dog" / "001.png")
    evaluated(changed)
    early = trained(tmp_path, "unfinished")
    stopped = json.loads(early.record_file.read_text()) | {"status": "interrupted"}
    early.record_file.write_text(json.dumps(stopped))
    evaluated(early)
    runs = (seen, changed, early)
    with server(Path(os.pathsep.join(f"{run.path.name}={run.bundle}" for run in runs))) as running:
        running.wait_until_ready()
        for run in runs:
            flag, which = run.path.name, {"params": {"model": run.path.name}, "timeout": 60}
            told = httpx.get(f"{running.url}/model", **which).json()  # type: ignore[arg-type]
            assert told["evaluation"]["flags"] == [flag]
            card = httpx.get(f"{running.url}/model/card", **which).text  # type: ignore[arg-type]
            assert f"`{flag}`: " in card
            dossier = json.loads((run.path / "dossier.json").read_text())
            assert [[f["id"] for f in item["flags"]] for item in dossier["evaluations"]] == [[flag]]
