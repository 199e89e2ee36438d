"""Weight files -> tensors in a network, and back. Nothing is unpickled unless the user allows it."""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_model
from torch import Tensor, nn

from hardener.config.files import written_whole
from hardener.errors import HardenerError
from hardener.models.buffers import put_buffer

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
_OF_A_RUN = "model.safetensors"
_VERSIONS = "state dict versions"  # of each module's layout, as torch keeps them beside a state dict


class _Contiguous(nn.Module):
    """A network whose tensors lie contiguous where they are read out; what is tied stays so."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple: as no module of its own, it puts nothing before the names

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override] # torch's is overloaded
        """Return the network's tensors; safetensors looks at tied ones in a way that needs them contiguous."""
        state: dict[str, Any] = self._network[0].state_dict(*args, **kwargs)
        laid: dict[tuple[Any, ...], Tensor] = {}
        for name, value in state.items():
            if isinstance(value, Tensor) and not value.is_contiguous():
                place = (value.data_ptr(), tuple(value.shape), value.stride())
                state[name] = laid.setdefault(place, value.contiguous())
        return state


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's parameters and buffers as safetensors, whole or not at all; tied tensors are written once."""
    with written_whole(path) as beside:
        try:
            network = _Contiguous(network)
            save_model(network, str(beside), metadata={_VERSIONS: json.dumps(_versions(network.state_dict()))})
        except SafetensorError as error:
            code = re.search(r"os error (\d+)", str(error))  # how its writer words a full disk
            if code is None:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from None
        os.umask(mask := os.umask(0))
        beside.chmod(0o666 & ~mask)  # the writer leaves a file that its owner alone may read, which a container is not


def load_weights(
    network: nn.Module,
    path: Path,
    *,
    allow_pickle: bool = False,
    fresh_head: str | Sequence[str] = (),
    unsaved: Collection[str] = (),
) -> list[str]:
    """Copy a file's tensors into a network; every tensor of the network must be in it, with its shape.

    Args:
        path: safetensors, a checkpoint of torch.save with a state dict, alone or under a usual key, or a run folder.
        allow_pickle: unpickle a file that holds more than tensors. It runs any code that the file carries.
        fresh_head: names of layers that keep their own values where the file's have another shape.
        unsaved: buffers that a network does not save by itself: they may be missing in the file, and have other shapes.
    Returns:
        Names of tensors in the file that the network has no place for.
    Raises:
        HardenerError: no such file, not a checkpoint, one that needs unpickling, or other names or shapes.
    """
    read = _read(path, allow_pickle)
    state = _strip_prefixes(read, network)
    _check_plain(state, network.state_dict(), path)
    for name in unsaved:
        if name in state:
            put_buffer(network, name, state[name])
    own = network.state_dict()
    heads = tuple(f"{head}." for head in ([fresh_head] if isinstance(fresh_head, str) else fresh_head))
    in_head = [name for name in own if name.startswith(heads)] if heads else []
    dropped = [name for name in in_head if name in state and state[name].shape != own[name].shape]
    for name in dropped:
        del state[name]
    wrong = [
        f"{name} is {tuple(state[name].shape)} in the file and {tuple(own[name].shape)} in the model"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if wrong:
        raise HardenerError(
            f"{path} has other shapes than the model: {_some(wrong)}. Is it of another architecture? Where only "
            "the number of classes differs, pass --replace-head."
        )
    missing = [
        name
        for name in own
        if name not in state and name not in {*dropped, *unsaved} and not name.endswith("num_batches_tracked")
    ]
    extra = [name for name in state if name not in own]
    if missing:
        also = f" It has instead: {_some(extra)}." if extra else ""
        raise HardenerError(
            f"{path} lacks {len(missing)} of the model's {len(own)} tensors: {_some(missing)}.{also} Is it of "
            "another architecture?"
        )
    fitting = OrderedDict((name, state[name]) for name in own if name in state)
    # names that were stripped no longer belong to the versions of their modules
    fitting._metadata = (state is read and _versions(read)) or own._metadata  # type: ignore[attr-defined]
    _copy(fitting, network, path)
    return extra


def _copy(state: Mapping[str, Tensor], network: nn.Module, path: Path) -> None:
    try:
        with torch.no_grad():
            network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        told = (str(error).strip().splitlines() or [""])[-1].strip()
        raise HardenerError(f"{path} holds tensors that the model cannot take: {told}") from None


def _check_plain(state: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """See that what the network takes are dense tensors of real numbers; others would be copied wrongly, if at all."""
    odd = []
    for name, value in state.items():
        if name in own:
            kinds = {
                "on no device": value.is_meta,
                "quantised": value.is_quantized,
                "sparse": value.is_nested or value.layout != torch.strided,
                "complex": value.is_complex() and not own[name].is_complex(),
            }
            odd += [f"{name} is {kind}" for kind, holds in kinds.items() if holds][:1]
    if odd:
        raise HardenerError(
            f"{path} holds tensors that are no plain ones: {_some(odd)}. Save dense tensors of real numbers."
        )


def _with_versions(state: Mapping[str, Tensor], versions: Mapping[str, Any]) -> dict[str, Tensor]:
    kept = OrderedDict(state)
    kept._metadata = versions  # type: ignore[attr-defined]
    return kept


def _versions(state: Mapping[str, Tensor]) -> dict[str, dict[str, int]]:
    found: Mapping[str, Mapping[str, int]] = getattr(state, "_metadata", {})
    return {name: dict(facts) for name, facts in found.items()}


def _read(path: Path, allow_pickle: bool) -> dict[str, Tensor]:
    if path.is_dir():
        if not (path / _OF_A_RUN).is_file():
            raise HardenerError(
                f"{path} is a folder without {_OF_A_RUN}: weights are a file, or a run that was trained."
            )
        path = path / _OF_A_RUN
    if not path.is_file():
        raise HardenerError(f"no such file: {path}.")
    if path.suffix == ".safetensors":
        try:
            with safe_open(str(path), framework="pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
                aliases = file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise HardenerError(f"{path} is no safetensors file, or it is damaged: {error}.") from None
        state |= {name: state[kept] for name, kept in aliases.items() if kept in state and name not in state}
        return _with_versions(state, json.loads(aliases.get(_VERSIONS, "{}")))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it holds is looked at below
            content = torch.load(path, map_location="cpu", weights_only=not allow_pickle)
    except pickle.UnpicklingError:
        raise HardenerError(
            f"{path} holds more than tensors: reading it would run code that the file carries. If you trust where "
            "it came from, pass --allow-pickle; safer: save its state_dict alone."
        ) from None
    except Exception as error:  # torch.load raises nearly anything on a file that is no checkpoint
        first = (str(error).splitlines() or [""])[0]
        raise HardenerError(f"{path} is no checkpoint that torch reads ({type(error).__name__}: {first}).") from None
    return _find_state(content, path)


def _find_state(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, nn.Module):
        return _find_state(content.state_dict(), path)
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            inner = content.get(key)
            if isinstance(inner, nn.Module | Mapping):
                return _find_state(inner, path)
        state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if state:
            return _with_versions(state, _versions(content))
    raise HardenerError(f"{path} holds no state dict: a mapping from names to tensors was looked for.")


def _strip_prefixes(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Drop what DataParallel, torch.compile and wrappers put before names, until names of the file are the network's.

    Some tensors may stand beside the wrapped network: a counter of averages, the weights of a loss.
    """
    own = set(network.state_dict())
    for _ in range(len(_PREFIXES)):
        wrapped = {prefix: sum(name.startswith(prefix) for name in state) for prefix in _PREFIXES}
        prefix = max(wrapped, key=lambda prefix: wrapped[prefix])
        if own & set(state) or 2 * wrapped[prefix] <= len(state):
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _some(items: list[str]) -> str:
    return ", ".join(items[:3]) + (f", and {len(items) - 3} more" if len(items) > 3 else "")
