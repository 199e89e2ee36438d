"""A weights file, or a folder -> every tensor in it under its full name. Nothing is unpickled unless it is allowed."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.checkpoints.kind import Kind, kind_of, read_json, weights_in
from hardener.models.checkpoints.told import Told, told_in, told_in_header, with_what_lies_beside
from hardener.models.checkpoints.unpickling import StandIn, pickle_module, safe_globals

VERSIONS = "state dict versions"  # of each module's layout, as torch keeps them beside a state dict
_DEEP = 6  # mappings in mappings that are looked into


@dataclass(frozen=True)
class Content:
    """What a checkpoint holds.

    Attributes:
        tensors: under their names, those of the mappings that they lie in before them, joined by dots.
        versions: of the layout of the modules, under names of the same kind.
        remarks: what was done to read it.
        keys: the uppermost names.
        holders: what stands before a tensor's own name in the mapping that it lies in.
        told: what it says of its network besides.
    """

    tensors: dict[str, Tensor]
    versions: dict[str, dict[str, int]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    holders: dict[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=Told)


def read_checkpoint(path: Path, network: nn.Module, *, allow_pickle: bool) -> Content:
    """Read every tensor of a checkpoint.

    Args:
        path: a file, or a folder: of a run, or as HuggingFace writes it.
        network: whose classes stand in for those that were pickled.
        allow_pickle: unpickle what holds more than tensors, and open TorchScript: either may run the file's own code.
    Raises:
        HardenerError: no such file, one that is no checkpoint, or one that would have to be unpickled.
    """
    if path.is_dir():
        path = weights_in(path)
    if not path.is_file():
        raise HardenerError(f"no such file: {path}.")
    content = _read(path, kind_of(path), network, allow_pickle)
    return replace(content, told=with_what_lies_beside(content.told, path))


def _read(path: Path, kind: Kind, network: nn.Module, allow_pickle: bool) -> Content:
    if kind == "safetensors":
        return _read_safetensors(path)
    if kind == "index":
        return _read_shards(path, network, allow_pickle)
    if kind == "torchscript":
        return _read_torchscript(path, allow_pickle)
    if not allow_pickle and kind in {"torch tar", "pickle"}:
        how = "in torch's oldest form, a tar" if kind == "torch tar" else "pickled, and not by torch.save"
        raise HardenerError(
            f"{path} is {how}: reading it would run code that the file carries. If you trust where it came from, pass "
            "--allow-pickle; safer: save its state_dict with torch.save."
        )
    absent: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = _unpickled(path, kind, network, allow_pickle, absent)
        except pickle.UnpicklingError as error:
            raise _unallowed(path, error, allow_pickle) from None
        except HardenerError:
            raise
        except Exception as error:  # reading pickles raises nearly anything
            first = (str(error).splitlines() or [""])[0]
            lost = f" It holds {', '.join(absent[:3])}, which the model file does not define." if absent else ""
            raise HardenerError(
                f"{path} is no checkpoint that torch reads, or it is damaged ({type(error).__name__}: {first}).{lost} "
                "Copy it again, or save its state_dict alone."
            ) from None
    content = _flattened(loaded)
    told: tuple[str, ...] = ()
    if absent:
        names = ", ".join(sorted(set(absent))[:5])
        told = (f"{path} holds {names}, which nothing here defines: of these the tensors alone were taken",)
    return replace(content, remarks=told)


def _unpickled(path: Path, kind: Kind, network: nn.Module, allow_pickle: bool, absent: list[str]) -> Any:
    if not allow_pickle:
        with path.open("rb") as file, torch.serialization.safe_globals(safe_globals()):
            return torch.load(file, map_location="cpu", weights_only=True)
    module = pickle_module(network, absent)
    with path.open("rb") as file:  # open: torch goes by the name of a path
        if kind == "pickle":
            return module.Unpickler(file, encoding="latin1").load()
        return torch.load(file, map_location="cpu", weights_only=False, pickle_module=module)


def _unallowed(path: Path, error: Exception, allow_pickle: bool) -> HardenerError:
    if allow_pickle:
        return HardenerError(f"{path} cannot be unpickled, it is damaged: {error}. Copy the file again.")
    what = ""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        what = f" ({', '.join(found[:3])})" if found else ""
    except Exception:  # an aid: it reads no files of the old form
        what = ""
    return HardenerError(
        f"{path} holds more than tensors: reading it would run code that the file carries{what}. If you trust where it "
        "came from, pass --allow-pickle; safer: save its state_dict alone."
    )


def _read_safetensors(path: Path) -> Content:
    try:
        with safe_open(str(path), framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            aliases = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise HardenerError(f"{path} is no safetensors file, or it is damaged: {error}. Copy it again.") from None
    state |= {name: state[kept] for name, kept in aliases.items() if kept in state and name not in state}
    try:
        versions = json.loads(aliases.get(VERSIONS, "{}"))
    except ValueError:
        versions = {}
    return Content(state, versions, (), tuple(state), told=told_in_header(aliases))


def _read_shards(index: Path, network: nn.Module, allow_pickle: bool) -> Content:
    weight_map = read_json(index)["weight_map"]
    names = sorted({str(name) for name in weight_map.values()})
    outside = [name for name in names if PurePath(name).name != name or name in {"", ".", ".."}]
    if outside:
        raise HardenerError(f"{index} names {outside[0]!r}: shards lie beside their index, and no other file is read.")
    lacking = [name for name in names if not (index.parent / name).is_file()]
    if lacking:
        raise HardenerError(
            f"{index} names {len(names)} shards, and {len(lacking)} are not beside it: {', '.join(lacking[:3])}. Fetch "
            "them as well."
        )
    tensors: dict[str, Tensor] = {}
    remarks: list[str] = []
    for name in names:
        kind = kind_of(index.parent / name)
        if kind == "index":
            raise HardenerError(f"{index} names {name}, which is an index and no shard.")
        part = _read(index.parent / name, kind, network, allow_pickle)
        tensors |= part.tensors
        remarks += part.remarks
    short = [name for name in weight_map if name not in tensors]
    if short:
        raise HardenerError(
            f"{index} says that {weight_map[short[0]]} holds {short[0]}, and it does not: the shards are of another "
            "checkpoint. Fetch all of them again."
        )
    return Content(tensors, {}, tuple(remarks), tuple(tensors))


def _read_torchscript(path: Path, allow_pickle: bool) -> Content:
    if not allow_pickle:
        raise HardenerError(
            f"{path} is a TorchScript program, and opening it can run code of its own. If you trust where it came "
            "from, pass --allow-pickle: its weights alone are taken. Safer: save them with "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            state = torch.jit.load(str(path), map_location="cpu").state_dict()
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise HardenerError(f"{path} is a TorchScript program that torch does not open: {first}.") from None
    told = f"{path} is a TorchScript program: its weights were taken, the code is that of the model"
    return Content(dict(state), {}, (told,), tuple(state))


def _flattened(loaded: Any) -> Content:
    tensors: dict[str, Tensor] = {}
    versions: dict[str, dict[str, int]] = {}
    holders: dict[str, str] = {}
    for name, holder, value in _leaves(loaded, "", 0, versions):
        tensors.setdefault(name, value)
        holders.setdefault(name, holder)
    keys = tuple(map(str, loaded)) if isinstance(loaded, Mapping) else ()
    return Content(tensors, versions, (), keys, holders, told_in(loaded))


def _leaves(
    value: Any, name: str, depth: int, versions: dict[str, dict[str, int]], holder: str = ""
) -> Iterator[tuple[str, str, Tensor]]:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = torch.from_numpy(np.array(value, order="C"))
    if isinstance(value, Tensor):
        if name:
            yield name, holder, value.detach()
        return
    if depth > _DEEP:
        return
    if isinstance(value, StandIn) and not (value._parameters or value._buffers or value._modules):
        value = value.__dict__["held"] or {k: v for k, v in value.__dict__.items() if not k.startswith("_")}
    elif isinstance(value, nn.Module):
        value = value.state_dict()
    elif type(value).__name__ in {"Namespace", "SimpleNamespace"}:
        value = vars(value)
    items: Iterator[tuple[Any, Any]]
    if isinstance(value, Mapping):
        items = iter(value.items())
        for module, facts in getattr(value, "_metadata", {}).items():
            if isinstance(facts, Mapping):
                versions[".".join(part for part in (name, str(module)) if part)] = dict(facts)
    elif isinstance(value, list | tuple):
        items = iter(enumerate(value))
    else:
        return
    for key, inner in items:
        before = f"{name}." if name else ""
        yield from _leaves(inner, f"{before}{key}", depth + 1, versions, before)
