"""Which of several exits a run answers by: it stays the one that was trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from oracles import write_image_folder

import hardener
from hardener.config.run_folder import RunFolder
from hardener.models.trained import open_classifier

EXITS = Path(__file__).parents[1] / "strangers" / "networks" / "exits_by_name.py"


def test_a_run_opens_by_the_exit_that_it_was_trained_with(tmp_path: Path) -> None:
    images = write_image_folder(tmp_path / "imgs", {"cat": 20, "dog": 20})
    run = RunFolder(tmp_path / "runs" / "new")
    few = {"epochs": 1, "batch_size": 8}
    hardener.train(
        EXITS, images, recipe="natural", settings=few, out=run.path.parent, name="new", device="cpu", rehearse=False
    )
    record = run.read_record()
    classifier = open_classifier(run, record)
    pixels = torch.randint(0, 256, (4, record.input.channels, record.input.height, record.input.width)) / 255
    assert (record.input.exit, classifier.way) == ("deepest", ("exit_2",))
    older = RunFolder(shutil.copytree(run.path, tmp_path / "runs" / "older"))
    told = json.loads((older.path / "run.json").read_text())
    del told["input"]["exit"]  # as a version wrote it that took the first
    (older.path / "run.json").write_text(json.dumps(told))
    first = open_classifier(older, older.read_record())
    assert first.way == ("exit_1",)
    assert not torch.equal(first(pixels), classifier(pixels))
