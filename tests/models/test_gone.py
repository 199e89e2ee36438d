"""What libraries no longer have stands in while a model file is imported, and no longer."""

from __future__ import annotations

import collections
import sys
from pathlib import Path

import pytest

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
