"""Names that libraries no longer have, and that model files still import: what does their work now stands in.

What is imported with them is the file's own code, as it was; a stand-in holds while the file is imported and built.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import importlib
import importlib.abc
import importlib.util
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import torch

from hardener.models.code.user_code import is_users

_CONTAINERS = ("Callable", "Hashable", "Iterable", "Iterator", "Mapping", "MutableMapping", "Sequence", "Sized")
_WITH_URLS = ("alexnet", "densenet", "googlenet", "inception", "mnasnet", "mobilenet", "resnet", "shufflenetv2",
              "squeezenet", "vgg")  # fmt: skip
_OF_TORCHVISION = ("model_urls", "load_state_dict_from_url")
_MOVED = (
    (re.compile(r"timm\.models\.layers\.(\w+)"), r"timm.layers.\1"),
    (re.compile(r"timm\.models\.([a-z]\w+)"), r"timm.models._\1"),
    (re.compile(r"numpy\.lib\.([a-z]\w+)"), r"numpy.lib._\1_impl"),
)
"""Modules, and where their work is done now."""
_TOOLS = {"comet_ml", "hiddenlayer", "icecream", "ptflops", "pytorch_model_summary", "tensorboardX", "thop",
          "torchinfo", "torchstat", "torchsummary", "torchsummaryX", "torchviz", "visdom", "wandb"}  # fmt: skip
"""Packages that count, draw or log a network: where one is not installed, what stands in for it does nothing."""


@contextlib.contextmanager
def gone_names(file: Path) -> Iterator[list[str]]:
    """Let `torch._six`, `timm.models.layers.helpers`, `model_urls` of torchvision and others be imported, and packages
    such as torchsummary that are not installed, and that a network does without.

    Args:
        file: what is imported.
    Yields:
        The packages of these that were asked for; they are added as they are.
    """
    with contextlib.suppress(OSError):
        if any(name.encode() in file.read_bytes() for name in _OF_TORCHVISION):
            importlib.import_module("torchvision.models")
    finder = _Finder()
    sys.meta_path.append(finder)
    added = [name for name in _CONTAINERS if not hasattr(collections, name)]
    for name in added:
        setattr(collections, name, getattr(collections.abc, name))
    given = [(module, name) for module in _old_modules() for name in _OF_TORCHVISION if not hasattr(module, name)]
    for module, name in given:
        fetches = name == "load_state_dict_from_url"
        setattr(module, name, torch.hub.load_state_dict_from_url if fetches else _Urls(module))
    try:
        yield finder.absent
    finally:
        sys.meta_path.remove(finder)
        for name in added:
            delattr(collections, name)
        for module, name in given:
            delattr(module, name)
        for name in finder.used:
            sys.modules.pop(name, None)


class _Finder:
    """Is asked last, for what nobody else found."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.absent: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Return where a module that is gone is made; see `importlib.abc.MetaPathFinder`."""
        top = name.partition(".")[0]
        made = _Nothing(name) if top in _TOOLS and _users_import() else _made(name)
        if made is None:
            return None
        self.used.add(name)
        self.absent += [top] if top in _TOOLS and top not in self.absent else []
        return importlib.util.spec_from_loader(name, _Loader(made))


def _users_import() -> bool:
    """Is what is imported now asked for by the user's code? timm asks for wandb as well, and does without."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and (frame.f_code.co_filename == __file__ or "importlib" in frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and is_users(Path(frame.f_code.co_filename))


class _Nothing(ModuleType):
    """A package whose every name can be imported and called, and does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """Return what does nothing."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing


def _nothing(*_values: Any, **_options: Any) -> None:
    """Do nothing."""


class _Loader(importlib.abc.Loader):
    def __init__(self, made: ModuleType) -> None:
        self._made = made

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return the stand-in; see `importlib.abc.Loader`."""
        if isinstance(self._made, _Nothing):
            return self._made
        fresh = ModuleType(spec.name, self._made.__doc__)
        fresh.__dict__.update({key: value for key, value in vars(self._made).items() if not key.startswith("__")})
        return fresh

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it is whole."""


def _made(name: str) -> ModuleType | None:
    """Return what does the work of a module that is gone; None for others."""
    if name == "torch._six":
        made = ModuleType(name)
        made.__dict__.update(
            container_abcs=collections.abc, string_classes=(str, bytes), int_classes=int, inf=math.inf, nan=math.nan
        )
        return made
    if name == "torchvision.models.utils":
        made = ModuleType(name)
        made.__dict__["load_state_dict_from_url"] = torch.hub.load_state_dict_from_url
        return made
    for old, now in _MOVED:
        moved = old.fullmatch(name)
        if moved is not None and importlib.util.find_spec(moved.expand(now)) is not None:
            return importlib.import_module(moved.expand(now))
    return None


def _old_modules() -> list[ModuleType]:
    """Return those of torchvision's modules that once had more names."""
    names = (f"torchvision.models.{name}" for name in _WITH_URLS)
    return [sys.modules[name] for name in names if name in sys.modules]


class _Urls(dict[str, str]):
    """Where the weights of a torchvision module's networks lie, by the name of the network."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, name: str) -> str:
        kinds = [one for key, one in vars(self._module).items() if key.lower() == f"{name}_weights"]
        if not kinds:
            raise KeyError(name)
        return str(kinds[0].IMAGENET1K_V1.url)
