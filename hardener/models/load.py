"""MODEL, as the user names it, -> an nn.Module with the right number of outputs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from hardener.errors import HardenerError, did_you_mean
from hardener.models.normalize import unwrap_logits
from hardener.models.user_code import first_line, user_code

REGISTRIES = ("torchvision", "timm")


@dataclass(frozen=True)
class LoadedModel:
    """A network as it was built, and the files it was built from (none for a registry's model)."""

    network: nn.Module
    name: str
    sources: tuple[Path, ...]


def load_model(
    spec: str, *, num_classes: int, channels: int = 3, entry: str | None = None, pretrained: bool = False
) -> LoadedModel:
    """Build the network that MODEL names.

    Args:
        spec: a Python file, `torchvision:NAME` or `timm:NAME`.
        num_classes: given to whatever takes an argument `num_classes`.
        channels: given to whatever takes an argument `in_channels` or `in_chans`.
        entry: the name in the file to use; else `build_model`, `model`, or the only public candidate.
        pretrained: registry models only: start from the published weights, with their own number of outputs.
    Raises:
        HardenerError: nothing by that name, a file that raises, or no single entry.
    """
    registry, colon, name = spec.partition(":")
    if colon and registry in REGISTRIES:
        if entry:
            raise HardenerError("--entry is for model files; a registry model is named in full.")
        return LoadedModel(_from_registry(registry, name, num_classes, channels, pretrained), name, ())
    path = Path(spec)
    if not path.is_file():
        raise HardenerError(
            f"no model file {spec}. MODEL is a Python file, torchvision:NAME such as torchvision:resnet18, or "
            "timm:NAME."
        )
    if path.suffix != ".py":
        raise HardenerError(
            f"{spec} is not a Python file. MODEL is the code that builds the network; weights go with --init."
        )
    if pretrained:
        raise HardenerError("--pretrained is for torchvision:NAME and timm:NAME; give a file's weights by --init.")
    with _imported(path) as (module, beside):
        network = _build(
            module, path, entry, {"num_classes": num_classes, "in_channels": channels, "in_chans": channels}
        )
        return LoadedModel(network, path.stem, (path, *beside()))


def fingerprint(model: LoadedModel) -> str:
    """Return the sha256 over a model's source files, or over its class and name for a registry's."""
    digest = hashlib.sha256(f"{type(model.network).__name__}\n{model.name}\n".encode())
    for source in model.sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def count_outputs(network: nn.Module, *, channels: int, height: int, width: int) -> int:
    """Run two black images through the network, in eval mode, and count its logits.

    Raises:
        HardenerError: the network fails on such images, or returns no logits.
    """
    was_training = network.training
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(2, channels, height, width, device=device))
    except HardenerError:
        raise
    except Exception as error:  # the user's own code: it may raise anything
        raise HardenerError(
            f"the model fails on images of {channels} x {height} x {width} (channels, height, width): "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    finally:
        network.train(was_training)
    return int(unwrap_logits(output).shape[1])


def find_head(network: nn.Module, outputs: int) -> str:
    """Return the name of the last linear layer, or 1 x 1 convolution, with this number of outputs.

    Raises:
        HardenerError: there is none.
    """
    heads: list[str] = [
        name
        for name, layer in network.named_modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == outputs)
        or (
            isinstance(layer, nn.Conv2d)
            and layer.out_channels == outputs
            and layer.kernel_size == layer.stride == (1, 1)
        )
    ]
    if not heads or not heads[-1]:
        raise HardenerError(
            f"the model has no final linear layer with {outputs} outputs to replace. Let the model file build the "
            "right number: build_model(num_classes)."
        )
    return heads[-1]


def replace_head(network: nn.Module, outputs: int, num_classes: int) -> str:
    """Put a fresh layer with `num_classes` outputs in place of the head; return its name."""
    name = find_head(network, outputs)
    parent_name, _, child = name.rpartition(".")
    parent = network.get_submodule(parent_name)
    old = network.get_submodule(name)
    fresh: nn.Module
    if isinstance(old, nn.Linear):
        fresh = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    else:
        assert isinstance(old, nn.Conv2d), "find_head returns linear layers and convolutions"
        fresh = nn.Conv2d(old.in_channels, num_classes, 1, bias=old.bias is not None)
    setattr(parent, child, fresh)  # also in a Sequential, whose children are attributes named 0, 1, …
    return name


@contextlib.contextmanager
def _imported(path: Path) -> Iterator[tuple[ModuleType, Callable[[], list[Path]]]]:
    """Import a file with its folder on the path; afterwards forget the modules beside it, so that two model files
    with helpers of the same name do not meet."""
    folder = path.resolve().parent
    before = set(sys.modules)
    name = f"hardener_user_model_{re.sub(r'[^a-zA-Z0-9_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "and a loader"
    module = importlib.util.module_from_spec(spec)
    shadowed = {key: sys.modules.pop(key) for key in list(sys.modules) if _stands_beside(key, folder)}

    def beside() -> list[Path]:
        loaded = [getattr(sys.modules[key], "__file__", None) for key in set(sys.modules) - before - {name}]
        files = {Path(file).resolve() for file in loaded if file}
        return sorted(file for file in files if file.is_relative_to(folder) and "site-packages" not in file.parts)

    sys.modules[name] = module
    sys.path.insert(0, str(folder))
    try:
        with user_code(str(path), when=" when it is imported"):
            spec.loader.exec_module(module)
        yield module, beside
    finally:
        sys.path.remove(str(folder))
        for file in beside():
            for key in [k for k, m in sys.modules.items() if getattr(m, "__file__", None) == str(file)]:
                del sys.modules[key]
        sys.modules.pop(name, None)
        sys.modules.update(shadowed)


def _stands_beside(module_name: str, folder: Path) -> bool:
    """Would the import of this top-level name find the user's own file, were it not loaded already from elsewhere?"""
    if "." in module_name or module_name in sys.stdlib_module_names or module_name == "hardener":
        return False
    loaded_from = getattr(sys.modules[module_name], "__file__", None)
    own = (folder / f"{module_name}.py", folder / module_name / "__init__.py")
    return loaded_from is not None and any(p.is_file() and str(p) != loaded_from for p in own)


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


def _from_registry(registry: str, name: str, num_classes: int, channels: int, pretrained: bool) -> nn.Module:
    if registry == "torchvision":
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            raise HardenerError(f"torchvision has no classifier {name!r}.{did_you_mean(name, known)}")
        settings: dict[str, Any] = (
            {"weights": "DEFAULT"} if pretrained else {"weights": None, "num_classes": num_classes}
        )
        if name in {"googlenet", "inception_v3"} and not pretrained:
            settings["init_weights"] = True
        return _registry_call(lambda: torchvision.models.get_model(name, **settings), f"torchvision:{name}", pretrained)
    if importlib.util.find_spec("timm") is None:
        raise HardenerError("timm:NAME needs timm, which is not installed: pip install 'hardener[timm]'.")
    import timm

    if not timm.is_model(name):
        raise HardenerError(f"timm has no model {name!r}.{did_you_mean(name, timm.list_models())}")
    classes = {} if pretrained else {"num_classes": num_classes}
    return _registry_call(
        lambda: timm.create_model(name, pretrained=pretrained, in_chans=channels, **classes), f"timm:{name}", pretrained
    )


def _registry_call(build: Callable[[], Any], what: str, pretrained: bool) -> nn.Module:
    try:
        network = build()
    except Exception as error:  # downloads and builders of others: they may raise anything
        fault = f"{type(error).__name__}: {first_line(error)}"
        if pretrained:
            raise HardenerError(
                f"{what} cannot be built with its published weights: {fault.rstrip('.')}. Where they cannot be "
                "downloaded, bring the file and pass it by --init FILE instead of --pretrained."
            ) from error
        raise HardenerError(f"{what} cannot be built: {fault}") from error
    assert isinstance(network, nn.Module), "registries return modules"
    return network
