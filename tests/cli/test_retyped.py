"""What an error advises ends in the whole command; typed as it stands, it works."""

from __future__ import annotations

import shlex
from pathlib import Path

from oracles import write_image_folder
from typer.testing import CliRunner

from hardener.cli.app import app

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
