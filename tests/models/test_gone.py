"""What libraries no longer have stands in while a model file is imported, and no longer."""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import pytest
import torch

from hardener.models.load import load_model

FILE = """
from collections import Iterable
from numpy.lib.arraypad import pad
from torch import nn
from torch._six import container_abcs, int_classes, string_classes
from torchvision.models.resnet import model_urls
from torchvision.models.utils import load_state_dict_from_url
class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        assert isinstance([], Iterable) and isinstance((), container_abcs.Sequence)
        assert model_urls["resnet18"].endswith(".pth") and "resnet1" not in model_urls
        self.fc = nn.Linear(3, num_classes)
"""


def test_a_file_of_older_libraries_is_built(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE)
    for _ in range(2):
        assert type(load_model(str(tmp_path / "net.py"), num_classes=2).network).__name__ == "Net"
    assert not {"torch._six", "numpy.lib.arraypad"} & set(sys.modules)
    assert not hasattr(collections, "Iterable")
    assert not hasattr(sys.modules["torchvision.models.resnet"], "model_urls")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Importing from timm:FutureWarning")
def test_the_layers_of_timm_are_found_where_they_lay(tmp_path: Path) -> None:
    line = "from timm.models.layers.helpers import to_2tuple"
    (tmp_path / "net.py").write_text(f"{line}\nfrom torch import nn\nmodel = nn.Linear(*to_2tuple(3))\n")
    assert load_model(str(tmp_path / "net.py"), num_classes=3).entry is None
    assert "timm.models.layers.helpers" not in sys.modules


OF_OLDER_TIMM = """
import timm.models.vision_transformer
from timm.models.vision_transformer import Block

class Masked(timm.models.vision_transformer.VisionTransformer):
    def __init__(self, **kwargs):
        super().__init__(img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2, **kwargs)
        self.further = Block(8, 2, 4, qkv_bias=True, qk_scale=None)

    def forward_features(self, x):
        x = self.patch_embed(x)
        x = self.pos_drop(x + self.pos_embed[:, 1:])
        for block in [*self.blocks, self.further]:
            x = block(x)
        return self.norm(x).mean(1) + 5
"""


@pytest.mark.filterwarnings("ignore:Importing from timm:FutureWarning")
def test_a_network_of_an_older_timm_runs_as_it_did_there(tmp_path: Path) -> None:
    vision_transformer = pytest.importorskip("timm.models.vision_transformer")
    before = vision_transformer.Block.__init__
    (tmp_path / "net.py").write_text(OF_OLDER_TIMM)
    loaded = load_model(str(tmp_path / "net.py"), num_classes=2, size=(8, 8))
    network, x = loaded.network.eval(), torch.rand(3, 3, 8, 8)
    assert torch.equal(network(x), network.head(network.forward_features(x)))  # type: ignore[operator]
    assert "Masked of net.py was written for a timm before 0.6" in " ".join(loaded.notes)
    assert vision_transformer.Block.__init__ is before
    (tmp_path / "net.py").write_text(OF_OLDER_TIMM.replace("features(self, x)", "features(self, x, **_)"))
    assert "older" not in " ".join(load_model(str(tmp_path / "net.py"), num_classes=2, size=(8, 8)).notes)


def test_what_only_a_library_asks_for_is_not_told_of(tmp_path: Path) -> None:
    """timm asks for wandb and does without; a repository's requirements are read by hardener alone."""
    (tmp_path / "net.py").write_text(
        "import timm.utils.summary\n"
        "from torch import nn\n"
        "try:\n    import absent_one\nexcept ImportError:\n    pass\n"
        "from logs import log\n"
        "class Net(nn.Linear):\n    def __init__(self, num_classes=10):\n        super().__init__(3, num_classes)\n"
    )
    (tmp_path / "logs.py").write_text("from munch import munchify as log\n")
    (tmp_path / "requirements.txt").write_text("munch\n")
    found = load_model(str(tmp_path / "net.py"), num_classes=2)
    assert found.data == ()
    assert not any("wandb" in note for note in found.notes)
    assert any(note.startswith("munch cannot be imported") for note in found.notes)
