"""A module that cannot be imported, and that a network does without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from hardener.errors import HardenerError
from hardener.models.load import ModelChoice, load_model

FILE = """
from torch import Tensor, nn
import sparse_engine as se
from sparse_engine.nn import Sparse
from beside.nowhere import Tool


class Net(nn.Module):
    kinds = (Tensor, se.Coordinates)

    def __init__(self, num_classes=10, sparse: "Sparse[int] | None" = None):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)
        CONSTRUCTED

    def forward(self, x: Tensor | Sparse) -> Tensor:
        if isinstance(x, se.Coordinates):
            return se.dense(x)
        FORWARD
        return self.fc(x.mean((2, 3)))


class Other(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))
"""


def written(folder: Path, constructed: str = "", forward: str = "", more: str = "") -> str:
    text = FILE.replace("CONSTRUCTED", constructed or "pass").replace("FORWARD", forward or "pass")
    (folder / "net.py").write_text(text + more)
    return str(folder / "net.py")


def test_what_a_network_does_without_need_not_be_there(tmp_path: Path) -> None:
    before = set(sys.modules)
    loaded = load_model(ModelChoice(written(tmp_path), "Net"), num_classes=2, size=(8, 8))
    assert loaded.network(torch.rand(2, 3, 8, 8)).shape == (2, 2)
    told = "sparse_engine, sparse_engine.nn, beside, beside.nowhere cannot be imported, and the network does without"
    assert told in " ".join(loaded.notes)
    assert not {"sparse_engine", "beside"} & (set(sys.modules) - before)


@pytest.mark.parametrize(
    ("constructed", "forward", "more"),
    [
        ("self.tool = Tool(3)", "", ""),
        ("self.tool = se.utils.make()", "", ""),
        ("", "x = se.dense(x)", ""),
        ("", "", "class Wrapped(se.Network):\n    pass\n"),
        ("", "", "se.register(Net)\n"),
        ("", "", "@se.registered\nclass Registered(nn.Module):\n    pass\n"),
    ],
)
def test_what_asks_for_a_missing_module_is_told_to_install_it_whatever_else_would_fit(
    constructed: str, forward: str, more: str, tmp_path: Path
) -> None:
    path = written(tmp_path, constructed, forward, more)
    with pytest.raises(HardenerError, match=r"No module named 'sparse_engine' \(net.py, line 3"):
        load_model(path, num_classes=2, size=(8, 8))
    assert "sparse_engine" not in sys.modules


def test_a_file_without_a_network_is_told_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import sparse_engine\nclass Net(sparse_engine.Network):\n    pass\n")
    with pytest.raises(HardenerError, match="No module named 'sparse_engine'"):
        load_model(str(tmp_path / "net.py"), num_classes=2)
    (tmp_path / "net.py").write_text("from sparse_engine import network\n")
    with pytest.raises(HardenerError, match="No module named 'sparse_engine'"):
        load_model(str(tmp_path / "net.py"), num_classes=2)
