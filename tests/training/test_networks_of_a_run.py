"""What a run keeps of how its network is used, and of the files that it is built from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from oracles import write_image_folder

from hardener.config.bundle import sha256_of
from hardener.config.recipe import load_recipe
from hardener.models.trained import changed_code, open_classifier
from hardener.progress import SilentTraining
from hardener.training.request import TrainRequest
from hardener.training.run import train

CODE = """
import sys
sys.path.insert(0, {folder!r})
from torch import nn
from act_of_a_run import act

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), act())
        self.aux, self.fc = nn.Linear(8, num_classes), nn.Linear(8, num_classes)

    def forward(self, images):
        images = self.body(images / 255)
        return (self.aux(images), self.fc(images)) if self.training else self.fc(images)
"""


def test_a_run_keeps_what_is_trained_what_goes_in_and_what_it_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "act_of_a_run", sys)
    monkeypatch.delitem(sys.modules, "act_of_a_run")
    write_image_folder(tmp_path / "imgs", {"cat": 8, "dog": 8})
    (tmp_path / "own").mkdir()
    other = tmp_path / "elsewhere" / "act_of_a_run.py"
    other.parent.mkdir()
    other.write_text("from torch.nn import ReLU as act\n")
    (tmp_path / "own" / "net.py").write_text(CODE.format(folder=str(other.parent)))
    request = TrainRequest(
        model=str(tmp_path / "own" / "net.py"),
        data=tmp_path / "imgs",
        recipe=load_recipe("natural", ["epochs=1", "batch_size=4"]),
        out=tmp_path / "runs",
        name="r",
        device="cpu",
        rehearse=False,
    )
    run = train(request, SilentTraining())
    record = run.read_record()
    assert (record.input.taught, open_classifier(run, record).way_in_training) == ([1], (1,))
    assert record.input.std == [pytest.approx(1 / 255)]
    assert record.model.outside == {str(other): sha256_of(other)}
    assert changed_code(run, record) is None
    other.write_text("from torch.nn import Tanh as act\n")
    assert str(other) in (changed_code(run, record) or "")
