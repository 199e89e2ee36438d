"""What a pickled checkpoint is made of: what is safe to build, and, where the user allows it, what stands in for code
that is not here."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import pickle
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

_BAGS = (
    "collections.defaultdict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)


class _Bag:
    """A dictionary of another kind, read as a plain one: torch's reader fills no other."""

    def __new__(cls, *args: Any) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


def _dtypes() -> Iterator[Any]:
    for name in vars(np.dtypes):
        if name.endswith("DType") and name not in {"ObjectDType", "StringDType"}:
            yield getattr(np.dtypes, name)


def safe_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return what training checkpoints hold besides tensors, and what runs no code when it is built."""
    from numpy._core import multiarray

    found: list[Any] = [
        argparse.Namespace,
        types.SimpleNamespace,
        collections.deque,
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
        *(dict, list, tuple, frozenset, int, float, str, bool, bytes),
        torch.torch_version.TorchVersion,
        np.dtype,
        np.ndarray,
        *_dtypes(),
    ]
    found += [(_Bag, name) for name in _BAGS]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found += [
            (getattr(multiarray, "scalar"), f"{module}.scalar"),  # noqa: B009 - numpy's stubs lack them
            (getattr(multiarray, "_reconstruct"), f"{module}._reconstruct"),  # noqa: B009
        ]
    for module in ("pathlib", "pathlib._local"):
        for name in ("PosixPath", "PurePosixPath", "Path"):
            found.append((pathlib.PurePosixPath, f"{module}.{name}"))
        for name in ("WindowsPath", "PureWindowsPath"):
            found.append((pathlib.PureWindowsPath, f"{module}.{name}"))
    return found


class StandIn(nn.Module):
    """An object of a class that is not here. What it held is kept, and nothing of what it could do."""

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        """Make one, whatever the class was given."""
        made = super().__new__(cls)
        nn.Module.__init__(made)
        made.__dict__["held"] = {}
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.__dict__.update(part)
        self.__dict__.setdefault("held", {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__["held"][key] = value

    def __hash__(self) -> int:
        return id(self)

    def append(self, value: Any) -> None:
        """Take what a list would."""
        held = self.__dict__["held"]
        held[len(held)] = value

    def extend(self, values: Any) -> None:
        """Take what a list would."""
        for value in values:
            self.append(value)


def pickle_module(network: nn.Module, absent: list[str]) -> types.ModuleType:
    """Return a `pickle` that finds classes in the model file, under whatever name they were pickled.

    Args:
        network: its classes, and whatever stands beside them in their files, are looked through.
        absent: takes the names of what is found nowhere: something that only holds what it held stands in for it.
    """
    namespaces = list(_namespaces(network))

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            try:
                return super().find_class(module, name)
            except (ImportError, AttributeError):
                pass
            for namespace in namespaces:
                found: Any = types.SimpleNamespace(**namespace)
                for part in name.split("."):
                    found = getattr(found, part, None)
                if found is not None:
                    return found
            absent.append(f"{module}.{name}")
            return type(name.rpartition(".")[2], (StandIn,), {"__module__": module})

    def load(file: Any, **kwargs: Any) -> Any:
        return Unpickler(file, **kwargs).load()

    made = types.ModuleType("pickle")
    made.__dict__.update(vars(pickle))
    made.__dict__.update({"Unpickler": Unpickler, "load": load})
    return made


def _namespaces(network: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield what is defined beside each class of a network, and beside what those files import."""
    seen: set[int] = set()
    for module in network.modules():
        for cls in type(module).__mro__:
            for function in vars(cls).values():
                names = getattr(function, "__globals__", None)
                if names is None or id(names) in seen or str(names.get("__name__", "")).split(".")[0] == "torch":
                    continue
                seen.add(id(names))
                yield {key: value for key, value in names.items() if key.isidentifier()}
