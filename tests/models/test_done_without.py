"""A package that a file does without is named where its networks use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardener.models.load import load_model

NET = """
{optional}
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.mixer = {mixer}
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(self.mixer(x.mean((2, 3))))
"""
SWITCH = "try:\n    from no_such_package.mixers import Mixer\n    THERE = True\nexcept ImportError:\n    print('no')\n"
WITH_A_SWITCH = SWITCH + "    THERE = False"
WITH_ANOTHER = SWITCH + "    from torch.nn import Identity as Mixer"


@pytest.mark.parametrize(
    ("optional", "mixer", "told"),
    [
        (WITH_A_SWITCH, "Mixer(3) if THERE else nn.Identity()", True),
        (WITH_A_SWITCH + "\n" + WITH_A_SWITCH, "Mixer(3) if THERE else nn.Identity()", True),
        (WITH_A_SWITCH, "nn.Identity()", False),  # a script's own affair
        (WITH_ANOTHER, "Mixer(3)", False),
        (WITH_A_SWITCH.replace("no_such_package.mixers", "torch.nn"), "nn.Identity() if THERE else nn.ReLU()", False),
    ],
)
def test_what_is_not_installed_is_told(tmp_path: Path, optional: str, mixer: str, told: bool) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET.format(optional=optional, mixer=mixer))
    notes = " ".join(load_model(str(path), num_classes=2).notes)
    assert ("no_such_package is not installed, and net.py does without it (line 3)" in notes) is told
    assert notes.count("not installed") == told
