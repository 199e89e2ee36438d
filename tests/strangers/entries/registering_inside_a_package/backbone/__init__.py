import importlib
from pathlib import Path

from torch import nn


class Backbone(nn.Module):
    """What all are."""


for file in Path(__file__).parent.glob("*.py"):
    if file.stem != "__init__":
        importlib.import_module(f"backbone.{file.stem}")
