"""A run opens as the network that was trained, whatever its code keeps beside its parameters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import write_image_folder

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.models.checkpoints import weights
from hardener.models.trained import open_classifier
from hardener.progress import SilentTraining
from hardener.training import keeping
from hardener.training.request import TrainRequest
from hardener.training.run import train

HEAD = "import torch\nfrom torch import nn\n"
KINDS = {
    "a random buffer that is not saved": """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.register_buffer("projection", torch.randn(64, 16), persistent=False)
        self.head = nn.Linear(16, num_classes)

    def forward(self, images):
        return self.head(images.flatten(1) @ self.projection)
""",
    "a random buffer of a part that is used twice": """
class _Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.rand(64), persistent=False)

    def forward(self, images):
        return images * self.scale

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        part = _Part()
        self.first, self.second = part, part
        self.head = nn.Linear(64, num_classes)

    def forward(self, images):
        return self.head(self.second(self.first(images.flatten(1))))
""",
    "a buffer of yes and no": """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.register_buffer("mask", torch.rand(64) < 0.5, persistent=False)
        self.head = nn.Linear(64, num_classes)

    def forward(self, images):
        return self.head(images.flatten(1).masked_fill(self.mask, 0.0))
""",
    "a buffer that grows when it is used": """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.register_buffer("table", torch.zeros(0), persistent=False)
        self.head = nn.Linear(64, num_classes)

    def forward(self, images):
        if len(self.table) == 0:
            self.table = torch.randn(64)
        return self.head(images.flatten(1) * self.table)
""",
    "a layout with a version, as torchvision's MNASNet has": """
class Net(nn.Module):
    _version = 2

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(64, num_classes)

    def forward(self, images):
        return self.head(images.flatten(1))

    def _load_from_state_dict(self, state, prefix, metadata, *rest):
        if metadata.get("version") != 2:
            raise ValueError("a checkpoint of version 1")
        super()._load_from_state_dict(state, prefix, metadata, *rest)
""",
    "spectral norm": """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.utils.parametrizations.spectral_norm(nn.Linear(64, 8))
        self.head = nn.utils.spectral_norm(nn.Linear(8, num_classes))

    def forward(self, images):
        return self.head(self.body(images.flatten(1)).relu())
""",
    "weight norm": """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.utils.parametrizations.weight_norm(nn.Linear(64, 8))
        self.head = nn.Linear(8, num_classes)

    def forward(self, images):
        return self.head(self.body(images.flatten(1)).relu())
""",
}

# what the code reads -> the files beside it, by their path below the folder that holds `code/net.py`
READS: dict[str, tuple[dict[str, Any], str]] = {
    "a JSON file beside it": (
        {"code/net.json": '{"width": 12}'},
        """
import json
from pathlib import Path
WIDTH = json.loads((Path(__file__).parent / "net.json").read_text())["width"]

def build_model(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, num_classes))
""",
    ),
    "a YAML file in another folder of the repository": (
        {"pyproject.toml": "", "config/net.yaml": "width: 12"},
        """
from pathlib import Path
import yaml

def build_model(num_classes):
    width = yaml.safe_load((Path(__file__).resolve().parents[1] / "config/net.yaml").read_text())["width"]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_classes))
""",
    ),
    "weights of torch": (
        {"code/body.pt": {"weight": torch.ones(8, 64), "bias": torch.zeros(8)}},
        """
import os

def build_model(num_classes):
    body = nn.Linear(64, 8)
    body.load_state_dict(torch.load(os.path.join(os.path.dirname(__file__), "body.pt")))
    return nn.Sequential(nn.Flatten(), body, nn.Linear(8, num_classes))
""",
    ),
}


@pytest.mark.parametrize("kind", READS)
def test_what_the_code_reads_goes_with_the_run(kind: str, tmp_path: Path) -> None:
    write_image_folder(tmp_path / "imgs", {"cat": 8, "dog": 8})
    here = tmp_path / "here"
    files, code = READS[kind]
    for name, content in {**files, "code/net.py": HEAD + code}.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            (here / name).write_text(content)
        else:
            torch.save(content, here / name)
    run = train(asked(here / "code/net.py", tmp_path), SilentTraining())
    shutil.rmtree(here)
    record = run.read_record()
    assert open_classifier(run, record)(torch.rand(2, 1, 8, 8)).shape == (2, 2)


def test_what_lies_elsewhere_is_named(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "imgs", {"cat": 8, "dog": 8})
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "there/width.txt").write_text("8")
    code = f"""
def build_model(num_classes):
    with open({str(tmp_path / "there/width.txt")!r}) as file:
        width = int(file.read())
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_classes))
"""
    (tmp_path / "here/net.py").write_text(HEAD + code)
    told: list[str] = []

    class Listens(SilentTraining):
        def warn(self, text: str) -> None:
            told.append(text)

    train(asked(tmp_path / "here/net.py", tmp_path), Listens())
    assert any("there/width.txt, outside of its own folder" in text for text in told)


def asked(model: Path, root: Path) -> TrainRequest:
    return TrainRequest(
        model=str(model),
        data=root / "imgs",
        recipe=load_recipe("natural", ["epochs=1", "batch_size=4"]),
        out=root / "runs",
        name="run",
        device="cpu",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_the_trained_network_did(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image_folder(tmp_path / "imgs", {"cat": 8, "dog": 8})
    (tmp_path / "net.py").write_text(HEAD + KINDS[kind])
    trained = []
    save = weights.save_weights

    def seen(network: torch.nn.Module, path: Path) -> None:
        with torch.no_grad():
            trained.append(network.eval()(images).clone())
        save(network, path)

    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(keeping, "save_weights", seen)
    run = train(asked(tmp_path / "net.py", tmp_path), SilentTraining())
    torch.manual_seed(99)  # what is drawn anew is drawn otherwise
    classifier = open_classifier(RunFolder(run.path), run.read_record())
    with torch.no_grad():
        assert torch.equal(classifier.network(images), trained[-1])
