"""MODEL, as the user names it, -> an nn.Module with the right number of outputs."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from hardener.errors import HardenerError, did_you_mean
from hardener.models.files_read import data_files, files_read
from hardener.models.model_file import find_model_file, imported, named
from hardener.models.registry import REGISTRIES, from_registry
from hardener.models.user_code import user_code


@dataclass(frozen=True)
class ModelChoice:
    """What the user says of MODEL.

    Attributes:
        spec: a Python file, a package's folder, `torchvision:NAME` or `timm:NAME`.
        entry: the name in the file to use; found by looking where there is none.
        arguments: what else the network is built with.
        root: the uppermost folder that the file's imports are looked for in.
        pretrained: registry models only: start from the published weights, with their own number of outputs.
    """

    spec: str
    entry: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    pretrained: bool = False


@dataclass(frozen=True)
class LoadedModel:
    """A network as it was built, and the files it was built from, the model file first (none for a registry's model).

    `root` is the folder that their imports begin at. `entry`: the name in the file that builds it, where the
    record has to hold it. `data` is what the code read from below that folder while it was built, `elsewhere` what it
    read from other places.
    """

    network: nn.Module
    name: str
    sources: tuple[Path, ...]
    root: Path = Path()
    entry: str | None = None
    data: tuple[Path, ...] = ()
    elsewhere: tuple[Path, ...] = ()


def load_model(choice: ModelChoice | str, *, num_classes: int, channels: int = 3) -> LoadedModel:
    """Build the network that MODEL names.

    Args:
        choice: what the user says of it, or the Python file, `torchvision:NAME` or `timm:NAME` alone.
        num_classes: given to whatever takes an argument `num_classes`.
        channels: given to whatever takes an argument `in_channels` or `in_chans`.
    Raises:
        HardenerError: nothing by that name, a file that raises, or no single entry.
    """
    choice = ModelChoice(choice) if isinstance(choice, str) else choice
    spec, entry = choice.spec, choice.entry
    registry, colon, name = spec.partition(":")
    if colon and registry in REGISTRIES:
        if entry:
            raise HardenerError("--entry is for model files; a registry model is named in full.")
        network = from_registry(
            registry,
            name,
            num_classes=num_classes,
            channels=channels,
            pretrained=choice.pretrained,
            arguments=choice.arguments,
        )
        return LoadedModel(network, name, ())
    if choice.pretrained:
        raise HardenerError("--pretrained is for torchvision:NAME and timm:NAME; give a file's weights by --init.")
    arguments = {"num_classes": num_classes, "in_channels": channels, "in_chans": channels}
    what = named(spec, choice.root)
    entry = entry or what.entry
    if what.path is None:
        assert entry is not None, "an installed module is named with what to use of it"
        return LoadedModel(_installed(what.module, entry, arguments), entry, (), entry=entry)
    file = find_model_file(what.path, what.root)
    with files_read() as read, imported(file) as found:
        network = _build(found.module, file.path, entry, arguments)
        data, elsewhere = data_files(read, file.folders[-1])
        root = Path(os.path.commonpath([found.root(), *(path.parent for path in data)]))
        return LoadedModel(network, file.name, found.sources(), root, entry, data, elsewhere)


def _installed(module: str, entry: str, arguments: dict[str, int]) -> nn.Module:
    with user_code(module, when=" when it is imported"):
        found = importlib.import_module(module)
    if not hasattr(found, entry):
        raise HardenerError(f"{module} has no {entry!r}.{did_you_mean(entry, vars(found))}")
    return _call(getattr(found, entry), entry, Path(module), arguments)


def fingerprint(model: LoadedModel) -> str:
    """Return the sha256 over a model's source files, or over its class and name for a registry's."""
    digest = hashlib.sha256(f"{type(model.network).__name__}\n{model.name}\n".encode())
    for source in (*model.sources, *model.data):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _build(module: ModuleType, path: Path, entry: str | None, arguments: dict[str, int]) -> nn.Module:
    public = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and (inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module)))
    }
    instances = {n: v for n, v in vars(module).items() if isinstance(v, nn.Module) and not n.startswith("_")}
    known = {**public, **instances}
    if entry is not None:
        if entry not in vars(module):
            listed = ", ".join(known) or "nothing"
            raise HardenerError(f"{path} has no {entry!r}; found {listed}.{did_you_mean(entry, known)}")
        return _call(vars(module)[entry], entry, path, arguments)
    for name in ("build_model", "model"):
        if name in vars(module):
            return _call(vars(module)[name], name, path, arguments)
    candidates = {name: value for name, value in public.items() if _can_be_built(value, arguments)}
    if len(candidates) == 1:
        ((name, value),) = candidates.items()
        return _call(value, name, path, arguments)
    listed = ", ".join(candidates or known) or "nothing"
    choice = next(iter(candidates or known), "NAME")
    raise HardenerError(
        f"{path} defines {'no model' if not candidates else 'several candidates and no model'}: looked for "
        f"build_model(num_classes) or model, found {listed}. Rename one, or pass --entry {choice}."
    )


def _can_be_built(value: Callable[..., Any], arguments: dict[str, int]) -> bool:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return False
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(
        p.name in arguments or p.default is not inspect.Parameter.empty or p.kind in variadic for p in parameters
    )


def _call(value: Any, name: str, path: Path, arguments: dict[str, int]) -> nn.Module:
    if isinstance(value, nn.Module):
        return value
    if not callable(value):
        raise HardenerError(f"{name} in {path} is a {type(value).__name__}; it must be a function or an nn.Module.")
    if not _can_be_built(value, arguments) and name != "build_model":
        needs = ", ".join(inspect.signature(value).parameters)
        raise HardenerError(
            f"{name}({needs}) in {path} cannot be called with num_classes alone. Give the rest defaults."
        )
    parameters = inspect.signature(value).parameters
    wanted = {key: number for key, number in arguments.items() if key in parameters}
    with user_code(f"{name} in {path}"):
        if name == "build_model" and "num_classes" not in parameters and parameters:
            network = value(arguments["num_classes"])
        else:
            network = value(**wanted)
    if not isinstance(network, nn.Module):
        raise HardenerError(f"{name} in {path} returned a {type(network).__name__}, not an nn.Module.")
    return network
