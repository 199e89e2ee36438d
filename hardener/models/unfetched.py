"""Build a network without the weights that its code fetches: they are looked at no more, or loaded over anyway."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import _IncompatibleKeys

_FETCH = (
    ("torch.hub", "load_state_dict_from_url"),
    ("torch.utils.model_zoo", "load_url"),
    ("torchvision.models._api", "load_state_dict_from_url"),
    ("torchvision.models.utils", "load_state_dict_from_url"),
)
"""Modules, and what of them fetches weights."""


class Unfetched(dict[str, Any]):
    """Stands for weights that were not fetched: it holds none, and any name may be looked up, set or left out."""

    def __missing__(self, name: str) -> Any:
        return torch.zeros(1) if "." in name else Unfetched()

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str, *otherwise: Any) -> Any:
        """Return what a name stands for."""
        return super().pop(name, self[name])


@contextlib.contextmanager
def unfetched() -> Iterator[list[str]]:
    """Let nothing be fetched by torch's hub, torchvision and timm; what would be loaded of it stays as it is built.

    Yields what was asked for meanwhile.
    """
    for needed in ("torch.utils.model_zoo", "torchvision.models"):
        importlib.import_module(needed)
    patched: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        patched.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    asked: list[str] = []

    def fetch(url: Any = "weights", *_: Any, **__: Any) -> Unfetched:
        asked.append(str(url).rpartition("/")[2])
        return Unfetched()

    def load_timm(model: Any = None, *_: Any, **__: Any) -> None:
        asked.append(f"weights of {type(model).__name__}")

    load = nn.Module.load_state_dict

    def load_what_there_is(self: nn.Module, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        return _IncompatibleKeys([], []) if not state_dict else load(self, state_dict, *args, **kwargs)

    for module, name in _FETCH:
        if hasattr(sys.modules.get(module), name):
            put(sys.modules[module], name, fetch)
    builder = sys.modules.get("timm.models._builder")
    if builder is not None:
        put(builder, "load_pretrained", load_timm)
    put(nn.Module, "load_state_dict", load_what_there_is)
    try:
        yield asked
    finally:
        for owner, name, value in reversed(patched):
            setattr(owner, name, value)
