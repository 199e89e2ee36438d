"""A run opens as the network that was trained, whatever its code keeps beside its parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oracles import write_image_folder

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.models import weights
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
    request = TrainRequest(
        model=str(tmp_path / "net.py"),
        data=tmp_path / "imgs",
        recipe=load_recipe("natural", ["epochs=1", "batch_size=4"]),
        out=tmp_path / "runs",
        name="run",
        device="cpu",
    )
    run = train(request, SilentTraining())
    torch.manual_seed(99)  # what is drawn anew is drawn otherwise
    classifier = open_classifier(RunFolder(run.path), run.read_record())
    with torch.no_grad():
        assert torch.equal(classifier.network(images), trained[-1])
