"""Weights that code fetches are not fetched where they are not wanted, whatever name it has for the function."""

from __future__ import annotations

import dataclasses
import http.server
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.utils._http as hub
import pytest
import timm
import torch
import torchvision

from hardener.errors import HardenerError
from hardener.models.build import build_for
from hardener.models.code.unfetched import can_be_fetched, hub_asked_twice, names_of, unfetched
from hardener.models.load import ModelChoice, load_model

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
    assert outer == [
        "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        "http://weights.invalid/late.pth",
    ]
    assert (names_of(outer)[1], names_of(inner)) == ("late.pth", ["weights of ResNet"])
    with pytest.raises(OSError, match="it fetches"):
        torch.hub.load_state_dict_from_url("http://weights.invalid/no_such_file.pth")
    with pytest.raises(OSError, match="it fetches"):
        timm.create_model("test_resnet.r160_in1k", pretrained=True)


def test_weights_can_be_fetched_from_a_host_that_answers_or_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["http://weights.invalid/kept.pth"]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert not can_be_fetched(asked)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "kept.pth").touch()
    assert can_be_fetched(asked)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request).start()  # it knows no HEAD, and says so
        assert can_be_fetched([f"http://127.0.0.1:{server.server_port}/net.pth"])


OF_THE_HUB = """
import timm
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.trunk = timm.create_model("resnet10t", pretrained=True, num_classes=0)
        self.fc = nn.Linear(self.trunk.num_features, num_classes)

    def forward(self, x):
        return self.fc(self.trunk(x))
"""


def test_where_the_hub_cannot_be_reached_the_line_without_its_weights_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    (tmp_path / "net.py").write_text(OF_THE_HUB)
    choice = ModelChoice(str(tmp_path / "net.py"), offers_head=True)
    with pytest.raises(HardenerError) as found:
        build_for(choice, num_classes=2, channels=[3], height=32, width=32)
    assert found.value.options == "--no-pretrained"
    assert (
        build_for(dataclasses.replace(choice, pretrained=False), num_classes=2, channels=[3], height=32, width=32)
        .loaded.network.get_parameter("fc.weight")
        .shape[0]
        == 2
    )


def test_a_file_beside_the_model_file_that_imports_timm_fetches_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trunk.py").write_text(OF_THE_HUB.replace("class Net", "class Trunk"))
    (tmp_path / "net.py").write_text("from trunk import Trunk\n\n\nclass Net(Trunk):\n    pass\n")
    told: list[bool] = []

    def watched(*, uses_timm: bool) -> AbstractContextManager[list[str]]:
        told.append(uses_timm)
        return unfetched(uses_timm=uses_timm)

    monkeypatch.setattr("hardener.models.load.unfetched", watched)
    loaded = load_model(ModelChoice(str(tmp_path / "net.py"), entry="Net", pretrained=False), num_classes=2)
    assert told == [True]
    assert loaded.notes[-1] == "weights that its code would fetch were not fetched: weights of ResNet"


def test_a_hub_that_cannot_be_reached_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(hub, "time", SimpleNamespace(sleep=waits.append))
    for few in (True, False):
        waits.clear()
        with hub_asked_twice() if few else nullcontext(), pytest.raises(Exception, match="refused"):
            hub.http_backoff("HEAD", "http://127.0.0.1:1")  # nothing listens there
        assert len(waits) == (1 if few else 5)
