"""What an error advises ends in the whole command; typed as it stands, it works."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from oracles import write_image_folder
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.run_folder import RunFolder

BUILDERS = """
from torch import nn


class Net(nn.Module):
    def __init__(self, width, outputs=10):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.fc = nn.Linear(width * 26 * 26, 10)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def small():
    return Net(2)


def large():
    return Net(3)
"""


def test_entry_size_and_head_come_in_one_command_which_works(tmp_path: Path) -> None:
    (tmp_path / "a net.py").write_text(BUILDERS)
    data = write_image_folder(tmp_path / "imgs", {"a": 8, "b": 8})
    rest = ["--epochs", "1", "--image-size", "16", "--set", "validation.steps=1", "--no-rehearsal", "--device", "cpu"]
    words = ["train", str(tmp_path / "a net.py"), "--data", str(data), "--out", str(tmp_path / "runs"), *rest]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    command = shlex.split(refused.stderr.strip().splitlines()[-1])
    assert command[:3] == ["hardener", "train", str(tmp_path / "a net.py")]
    assert command[-5:] == ["--entry", "small", "--image-size", "28", "--replace-head"]
    assert command.count("--image-size") == 1, "what is replaced is left out"
    assert command[command.index("--set") + 1] == "validation.steps=1"
    followed = CliRunner().invoke(app, command[1:])
    assert followed.exit_code == 0, followed.output


NAN_LATER = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(64, num_classes)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        self.steps += self.training
        return self.fc(x.flatten(1)) * (float("nan") if self.training and self.steps > 4 else 1.0)
"""


def test_what_is_advised_after_a_loss_of_nan_begins_a_run_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One epoch is kept, so that the name is taken; going on would end alike, and takes no further options."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NAN_LATER)
    write_image_folder(Path("imgs"), {"a": 12, "b": 12})
    rest = ["--batch-size", "8", "--recipe", "natural", "--set", "validation.steps=1", "--epochs", "3"]
    words = ["train", "net.py", "--data", "imgs", "--name", "gone", "--device", "cpu", *rest]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 1, first.output
    run = RunFolder(Path("runs", "gone"))
    assert (run.read_record().status, run.curves.is_file()) == ("failed", True)
    again = CliRunner().invoke(app, words)
    assert again.stderr.strip().endswith("runs/gone exists. Choose another --name.")
    resumed = CliRunner().invoke(app, ["train", "--resume", "gone", "--device", "cpu"])
    for told in (first, resumed):
        assert "the loss became nan in epoch 2. Clip the gradients" in told.stderr
        command = shlex.split(told.stderr.strip().splitlines()[-1])
        before = set(Path("runs").iterdir())
        begun = CliRunner().invoke(app, command[1:])
        assert "the loss became nan in epoch 2. Lower the learning rate" in begun.stderr, begun.stderr
        assert "--set optimizer.lr=0.0" in begun.stderr.strip().splitlines()[-1]
        (new,) = set(Path("runs").iterdir()) - before
        assert RunFolder(new).read_recipe().optimizer.gradient_clip == 1
    told = CliRunner().invoke(app, ["eval", "gone", "--attack", "fgsm"])
    assert "came to numbers that are not finite: 1 of 3 epochs are done" in told.stderr
    assert "--resume" not in told.stderr
