"""The entry of a model file: what is tried leaves no trace, and what the user gives is used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hardener.config.run_folder import ModelRecord
from hardener.errors import HardenerError
from hardener.models.load import LoadedModel, ModelChoice, load_model

FILE = """
import random
import torch
from torch import nn

STARTED = [torch.rand(1).item(), random.random()]
built = []


class Small(nn.Module):
    def __init__(self, num_classes, width=4):
        super().__init__()
        built.append(width)
        self.number = len(built)
        self.fc = nn.Linear(3 * 8 * 8 + 0 * width, num_classes)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Part(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 1)

    def forward(self, x):
        return self.conv(x)
"""


def load(path: Path, **rest: object) -> LoadedModel:
    return load_model(ModelChoice(str(path), **rest), num_classes=5, size=(8, 8))  # type: ignore[arg-type]


def test_what_is_found_by_looking_is_built_as_if_it_had_been_named(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(FILE)
    torch.manual_seed(3)
    named = load(path, entry="Small")
    after = torch.rand(1)
    torch.manual_seed(3)
    found = load(path)
    assert torch.equal(torch.rand(1), after), "the random numbers that follow are the same"
    assert found.entry == "Small"
    assert int(found.network.number) == 1, "built once: what was tried is forgotten"  # type: ignore[arg-type]
    assert found.notes == ("entry: Small of net.py, found by looking; 965 parameters",)
    for one, other in zip(found.network.parameters(), named.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_arguments_are_given_and_wrong_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(FILE.replace("self.number = len(built)", "self.number = width"))
    assert load(path, entry="Small", arguments={"width": 9}).network.number == 9
    assert load(path, arguments={"width": 9}).network.number == 9, "what does not take it is no candidate"
    with pytest.raises(
        HardenerError, match=r"--model-arg widht: Small .* takes num_classes, width. Did you mean 'width'"
    ):
        load(path, entry="Small", arguments={"widht": 9})


def test_a_record_without_arguments_still_opens() -> None:
    old = {"spec": "net.py", "name": "net", "file": "model/net.py", "entry": None, "fingerprint": "f", "parameters": 1}
    rest = {"init": None, "pretrained": False, "replaced_head": None}
    assert ModelRecord.model_validate({**old, **rest}).arguments == {}
