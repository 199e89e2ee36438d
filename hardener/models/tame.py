"""What is done to a stranger's network once it is built, so that everything after may treat it like any other."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, cast

import torch
from torch import nn

from hardener.errors import HardenerError
from hardener.models.code.user_code import is_users

_META = re.compile(r"['\"]meta['\"]|init_empty_weights|init_on_device")
_COMPILERS = ("script", "trace", "trace_module", "freeze", "optimize_for_inference")
_OF_CLASSES = ("ScriptModule", "script_method")
_OF_HUB = {"source", "trust_repo", "force_reload", "verbose", "skip_validation"}
_FEW_CHANNELS = 16


class _Unscripted(nn.Module):
    """Stands for torch.jit.ScriptModule as the base of a user's class: its methods stay Python."""


@contextmanager
def unscripted() -> Iterator[list[str]]:
    """Let torch.jit and torch.compile leave networks and functions as they are while a network is built: what they make
    of them is closed to export, hooks and copies. What is loaded from a file of torch.jit stays what it is.

    A network of torchvision that code asks torch.hub for is that of the installed torchvision: no code of the net runs.

    Yields:
        What is to be said of it, once something was asked for.
    """
    said: list[str] = []
    compile_before, hub_before = torch.compile, cast(Callable[..., Any], torch.hub.load)
    before = {name: getattr(torch.jit, name) for name in (*_COMPILERS, *_OF_CLASSES)}
    compiled_already = torch.jit.ScriptModule

    def sparing(compiler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(compiler)
        def compiled(network: Any, *values: Any, **options: Any) -> Any:
            if isinstance(network, compiled_already):
                return compiler(network, *values, **options)
            return network

        return compiled

    def left(network: Any = None, **_: Any) -> Any:
        return network if network is not None else lambda decorated: decorated

    for name in _COMPILERS:
        setattr(torch.jit, name, sparing(before[name]))
    for name, value in zip(_OF_CLASSES, (_Unscripted, left), strict=True):
        setattr(torch.jit, name, value)

    def of_hub(repository: Any, name: str, *values: Any, **options: Any) -> Any:
        """See `torch.hub.load`."""
        if str(repository).partition(":")[0] != "pytorch/vision" or options.get("source", "github") != "github":
            return hub_before(repository, name, *values, **options)
        said[:] = ["networks of torch.hub's pytorch/vision are those of the torchvision that is installed"]
        own = {key: value for key, value in options.items() if key not in _OF_HUB}
        with warnings.catch_warnings():  # pretrained= is another word for weights= there
            warnings.simplefilter("ignore", UserWarning)
            return getattr(importlib.import_module("torchvision.models"), name)(*values, **own)

    torch.compile = left  # type: ignore[assignment]
    torch.hub.load = of_hub  # type: ignore[assignment]
    try:
        yield said
    finally:
        torch.compile, torch.hub.load = compile_before, hub_before
        for name, value in before.items():
            setattr(torch.jit, name, value)


def unwrapped(network: nn.Module) -> nn.Module:
    """Return what stands in a wrapper for several devices."""
    while isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    return network


def tame(network: nn.Module) -> list[str]:
    """Bring a network to float32, make its modes switch, and keep what its code prints off the screen.

    Networks that are in order stay as they are, to the bit.

    Returns:
        What was done, a line each.
    Raises:
        HardenerError: it was built without numbers.
    """
    if any(one.is_meta for one in (*network.parameters(), *network.buffers())):
        told = line_of(network, _META, whole=True)
        raise HardenerError(
            f"the model is built on the device meta, which holds shapes and no numbers{told}. Take that out, so that "
            "its weights are made on the CPU."
        )
    _quiet(network)
    return [*_in_float32(network), *switching(network)]


def unseen_modules(network: nn.Module) -> list[str]:
    """Name the attributes whose modules torch does not see, as they lie in a list, a tuple or a dict: `Net.blocks`."""
    seen = {id(module) for module in network.modules()}
    found: dict[str, None] = {}
    for module in network.modules():
        for name, value in vars(module).items():
            many = list(value.values()) if isinstance(value, dict) else value
            if name.startswith("_") or not isinstance(many, list | tuple):
                continue
            if any(isinstance(one, nn.Module) and id(one) not in seen for one in many):
                found[f"{type(module).__name__}.{name}"] = None
    return list(found)


def _in_float32(network: nn.Module) -> list[str]:
    others = {str(p.dtype).removeprefix("torch.") for p in network.parameters() if p.is_floating_point()} - {"float32"}
    if not others:
        return []
    network.float()
    return [f"the model's weights are {', '.join(sorted(others))}: they are converted to float32"]


def switching(network: nn.Module) -> list[str]:
    """Put torch's own `train` in the place of what bears that name and does not switch between the two modes."""
    said = []
    for module in network.modules():
        if type(module).train is nn.Module.train or "train" in vars(module):
            continue
        if not _is_switch(type(module).train) or not _switches(module):
            # a bound method on the instance: deepcopy binds the copy
            module.train = MethodType(nn.Module.train, module)  # type: ignore[method-assign]
            said.append(f"{type(module).__name__}.train does not switch the mode: torch's own is used in its place")
    return list(dict.fromkeys(said))


def _is_switch(method: Callable[..., Any]) -> bool:
    """Whether a method takes a mode, rather than data to train on or nothing at all."""
    taken = list(inspect.signature(method).parameters.values())[1:]
    if not taken:
        return False
    first, *rest = taken
    needed = [p for p in rest if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    variadic = first.kind in (first.VAR_POSITIONAL, first.VAR_KEYWORD)
    return not needed and (variadic or first.name == "mode" or isinstance(first.default, bool))


def _switches(module: nn.Module) -> bool:
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.train(False)
        return not module.training
    except Exception:  # the user's own code: it may raise anything
        return False
    finally:
        for part, training in modes:
            part.training = training


class Silent:
    """Stands for `print` in the user's files: a line for every batch would bury what hardener says.

    Attributes:
        heard: where something was to be printed, a line each.
    """

    def __init__(self) -> None:
        self.heard: dict[str, None] = {}

    def __call__(self, *values: object, **options: Any) -> None:
        """Print nothing."""
        if torch.compiler.is_compiling():  # a compiler looks through this call, and a frame would stop it
            return
        caller = sys._getframe(1)
        self.heard[f"{Path(caller.f_code.co_filename).name}, line {caller.f_lineno}"] = None


def _quiet(network: nn.Module) -> None:
    for names in _spaces(network):
        names.setdefault("print", Silent())


def _spaces(network: nn.Module) -> list[dict[str, Any]]:
    """Return the global names of the user's files that the network's classes come from, and of those they import."""
    methods = [forward_of(kind) for kind in {type(module) for module in network.modules()}]
    border: list[Any] = [method for method in methods if method is not None]
    found: dict[int, dict[str, Any]] = {}
    while border:
        value = border.pop()
        if isinstance(value, FunctionType):
            file, names = value.__code__.co_filename, value.__globals__
        elif isinstance(value, ModuleType):
            file, names = str(vars(value).get("__file__")), vars(value)  # a lazy module loads where it is asked
        else:
            continue
        if id(names) not in found and Path(file).suffix == ".py" and is_users(Path(file)):
            found[id(names)] = names
            border += names.values()
    return list(found.values())


def forward_of(kind: type[nn.Module]) -> FunctionType | None:
    """Return the Python function that a class's forward is, behind its decorators; None where it is none."""
    method = inspect.getattr_static(kind, "forward", None)
    if not isinstance(method, FunctionType):
        return None
    found = inspect.unwrap(method)
    return found if isinstance(found, FunctionType) else None


def prints(network: nn.Module) -> list[str]:
    """Return where the network's code was to print since it was tamed, a line each."""
    heard: dict[str, None] = {}
    for names in _spaces(network):
        if isinstance(names.get("print"), Silent):
            heard.update(names["print"].heard)
    return list(heard)


def breaks_channels_last(network: nn.Module) -> str | None:
    """Return the name of a layer whose gradient in channels_last writes beyond its memory on a CPU, or None.

    Measured with torch 2.14.1, at 128 pixels: convolutions of 1 x 1 with stride 2 that take 2 to 15 channels, as in
    RepVGG's first block. The process dies, or goes on with damaged memory: to try it would prove nothing.
    """
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or max(layer.stride) == 1:
            continue
        if 1 < layer.in_channels < _FEW_CHANNELS:
            return str(name)
    return None


def told_of_chance(network: nn.Module) -> str:
    """Return the words for a network that draws random numbers in eval mode, with the line that does."""
    where = line_of(network, re.compile(r"dropout|rand|bernoulli|multinomial|normal"))
    return f"answers differently when it is asked twice in eval mode{where}. F.dropout needs training=self.training"


def line_of(network: nn.Module, pattern: re.Pattern[str], *, whole: bool = False, only: bool = False) -> str:
    """Return ` (file, line n)` of the first line of the user's forward methods that matches, or nothing.

    Args:
        whole: look through the whole files, not only the forward methods.
        only: return nothing where several lines match.
    """
    found: dict[str, None] = {}
    for kind in dict.fromkeys(type(module) for module in network.modules()):
        method = forward_of(kind)
        if method is None or not is_users(Path(method.__code__.co_filename)):
            continue
        file = method.__code__.co_filename
        try:
            lines, first = (inspect.findsource(method)[0], 1) if whole else inspect.getsourcelines(method)
        except (OSError, TypeError):
            continue
        for place, line in enumerate(lines):
            if pattern.search(line) and not line.lstrip().startswith(("import ", "from ", "#")):
                found[f" ({Path(file).name}, line {first + place})"] = None
                if not only:
                    break
    return "" if only and len(found) > 1 else next(iter(found), "")
