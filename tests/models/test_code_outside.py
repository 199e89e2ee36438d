"""What a network is built from besides the files beside it is known: a run could open as another network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hardener.models.load import load_model

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(48, num_classes), act())

    def forward(self, x):
        return self.fc(x)
"""
ACT = "from torch import nn\nfrom deeper_outside import KIND\n\ndef act():\n    return KIND()\n"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two modules, the one of which imports the other; afterwards they are forgotten."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "act_outside.py").write_text(ACT)
    (folder / "deeper_outside.py").write_text("from torch.nn import ReLU as KIND\n")
    (tmp_path / "own").mkdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("act_outside", "deeper_outside", "whole_outside"):
        monkeypatch.setitem(sys.modules, name, sys)
        monkeypatch.delitem(sys.modules, name)
    return folder


def test_code_of_another_folder_is_known_each_time(elsewhere: Path) -> None:
    net = elsewhere.parent / "own" / "net.py"
    net.write_text(f"import sys\nsys.path.insert(0, {str(elsewhere)!r})\nfrom act_outside import act\n{NET}")
    for _ in range(2):  # the second time its modules are loaded already
        loaded = load_model(str(net), num_classes=2, size=(4, 4))
        assert loaded.sources == (net,)
        assert loaded.outside == (elsewhere / "act_outside.py", elsewhere / "deeper_outside.py")


def test_code_of_a_module_that_is_named_is_known(elsewhere: Path) -> None:
    (elsewhere / "whole_outside.py").write_text(f"from act_outside import act\n{NET}")
    sys.path.insert(0, str(elsewhere))
    loaded = load_model("whole_outside:Net", num_classes=2, size=(4, 4))
    assert {path.name for path in loaded.outside} == {"whole_outside.py", "act_outside.py", "deeper_outside.py"}


def test_a_file_that_is_read_by_its_whole_path_is_told_from_one_beside(elsewhere: Path) -> None:
    folder = elsewhere.parent / "own"
    (folder / "act.txt").write_text("ReLU")
    (folder / "beside.txt").write_text("ReLU")
    code = f"from pathlib import Path\nPath({str(folder / 'act.txt')!r}).read_text()\n"
    code += "(Path(__file__).parent / 'beside.txt').read_text()\nfrom torch.nn import ReLU as act\n"
    (folder / "net.py").write_text(code + NET)
    loaded = load_model(str(folder / "net.py"), num_classes=2, size=(4, 4))
    assert loaded.data == (folder / "act.txt", folder / "beside.txt")
    assert loaded.elsewhere == (folder / "act.txt",)


def test_variables_that_the_file_reads_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND_OF_ACT", "ReLU")
    read = "import os\nfrom torch import nn\nact = getattr(nn, os.environ.get('KIND_OF_ACT', 'Tanh'))\n"
    read += "os.getenv('ALSO_THIS')\n"
    (tmp_path / "net.py").write_text(read + NET)
    loaded = load_model(str(tmp_path / "net.py"), num_classes=2, size=(4, 4))
    assert any("net.py reads KIND_OF_ACT, ALSO_THIS of the environment" in note for note in loaded.notes)
