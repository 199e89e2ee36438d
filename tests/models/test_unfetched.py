"""Weights that code fetches are not fetched where they are not wanted, whatever name it has for the function."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision

from hardener.models.load import ModelChoice, load_model
from hardener.models.unfetched import unfetched

EARLY = """
from torch import nn
from torch.hub import load_state_dict_from_url


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)
        self.load_state_dict(load_state_dict_from_url("http://weights.invalid/early.pth", progress=False))

    def forward(self, x):
        return self.fc(x.mean((2, 3)))
"""


def test_a_name_that_was_imported_early_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(EARLY)
    loaded = load_model(ModelChoice(str(path), pretrained=False), num_classes=2)
    assert "weights that its code would fetch were not fetched: early.pth" in loaded.notes
    assert loaded.network.get_parameter("fc.weight").shape == (2, 3)


def test_an_installed_module_fetches_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fetching_net.py").write_text(EARLY)
    monkeypatch.syspath_prepend(tmp_path)
    loaded = load_model(ModelChoice("fetching_net:Net", pretrained=False), num_classes=2)
    assert "weights that its code would fetch were not fetched: early.pth" in loaded.notes
    assert loaded.network.get_parameter("fc.weight").shape == (2, 3)


def test_torchvision_and_timm_fetch_nothing_inside_and_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("it fetches")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    with unfetched() as outer:
        torchvision.models.squeezenet1_1(weights="DEFAULT")
        with unfetched() as inner:
            timm.create_model("test_resnet.r160_in1k", pretrained=True)
        torch.hub.load_state_dict_from_url("http://weights.invalid/late.pth")
    assert (outer, inner) == (["squeezenet1_1-b8a52dc0.pth", "late.pth"], ["weights of ResNet"])
    with pytest.raises(OSError, match="it fetches"):
        torch.hub.load_state_dict_from_url("http://weights.invalid/no_such_file.pth")
    with pytest.raises(OSError, match="it fetches"):
        timm.create_model("test_resnet.r160_in1k", pretrained=True)
