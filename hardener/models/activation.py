"""Smooth activations in place of ReLU: whose kink gives an attack, and the training against it, poor gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hardener.errors import HardenerError, did_you_mean
from hardener.models.head import count_outputs
from hardener.words import counted

SOFTPLUS_BETA = 10.0  # never farther than log(2) / 10 = 0.07 from ReLU; with beta 1 it were 0.69
_SMOOTH: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "softplus": lambda: nn.Softplus(beta=SOFTPLUS_BETA),
    "gelu": nn.GELU,
}
_CALLS = {torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, nn.functional.relu}


def replace_activations(network: nn.Module, name: str, *, channels: int, height: int, width: int) -> int:
    """Put a smooth activation in place of every nn.ReLU of a network, which is changed.

    A module that stands in several places is replaced by one that stands in the same places. Two images are run
    through the network, in eval mode, to see that no ReLU is left that is called as a function.

    Args:
        name: silu, softplus (with beta 10) or gelu; `keep` changes nothing.
        channels, height, width: of the images that the network takes.
    Returns:
        The number of modules that were replaced.
    Raises:
        HardenerError: an unknown name, no nn.ReLU, or a ReLU that is no module; the network is then as it was.
    Source: Xie et al., "Smooth Adversarial Training", 2020, for the idea; softplus' beta is ours.
    """
    if name == "keep":
        return 0
    if name not in _SMOOTH:
        known = ("keep", *_SMOOTH)
        raise HardenerError(f"unknown activation {name!r}. Known: {', '.join(known)}.{did_you_mean(name, known)}")
    fresh: dict[nn.Module, nn.Module] = {
        module: _SMOOTH[name]() for module in network.modules() if isinstance(module, nn.ReLU)
    }
    for old, new in fresh.items():
        new.train(old.training)
    _exchange(network, fresh)
    with _CountReluCalls() as calls:
        count_outputs(network, channels=channels, height=height, width=width)
    if not fresh or calls.seen:
        _exchange(network, {new: old for old, new in fresh.items()})
        raise HardenerError(_no_module(network, name, calls.seen, bool(fresh)))
    return len(fresh)


class _CountReluCalls(TorchFunctionMode):
    """Count the calls of relu as a function or method; those that nn.ReLU makes are among them."""

    seen = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.seen += func in _CALLS
        return func(*args, **(kwargs or {}))


def _exchange(network: nn.Module, fresh: dict[nn.Module, nn.Module]) -> None:
    for parent in list(network.modules()):
        for child, module in list(parent._modules.items()):  # named_children leaves a module's second place out
            if module is not None and module in fresh:
                setattr(parent, child, fresh[module])


def _no_module(network: nn.Module, name: str, calls: int, some: bool) -> str:
    rewrite = "write self.relu = nn.ReLU() in __init__ and self.relu(x) in forward"
    if calls:
        also = "beside its nn.ReLU modules " if some else ""
        return (
            f"network.activation={name} replaces modules, and the model {also}calls relu as a function "
            f"({counted(calls, 'time')} in a forward pass), which cannot be replaced. In the model file, {rewrite}."
        )
    others = {
        type(module).__name__
        for module in network.modules()
        if type(module).__module__ == "torch.nn.modules.activation"
    }
    has = f"it has {', '.join(sorted(others))}" if others else "it has no activation that is a module"
    return f"network.activation={name} replaces nn.ReLU, and the model has none: {has}. Set network.activation=keep."
