"""What a network does to its images before its first layer that learns, watched in a pass, so that it is done once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hardener.models.code.user_code import is_users
from hardener.runtime.model_state import device_of, in_eval_mode, same_draws

BYTES = "0/0.003921569"
"""As `--normalize` takes it: gives a network the numbers from 0 to 255 that it was written for."""
_CLOSE = 1e-3
_OF_BYTES = 20.0
"""From this deviation on a mean and a deviation are of numbers from 0 to 255."""
_PLAIN = {"add", "sub", "mul", "div", "rsub", "neg"}

Map = list[tuple[float, float]]
"""What was done to each channel, `a * x + b`; one pair where it is the same for all."""


@dataclass(frozen=True)
class Done:
    """A network's own normalisation. `told`: where it is, in words; `of_bytes`: it is for numbers from 0 to 255."""

    told: str
    of_bytes: bool

    @property
    def normalize(self) -> str:
        """What `--normalize` has to be beside it."""
        return BYTES if self.of_bytes else "none"


def normalization_done(network: nn.Module, images: Tensor) -> Done | None:
    """Run the network on images in eval mode, and see whether it takes a mean from them and divides by a deviation.

    What counts is arithmetic with constants, or with buffers of one value a channel, before the first layer that
    learns; neither names nor what a network holds. None where none is seen.

    Raises:
        Exception: what the network raises.
    """
    watched = _Watched(network, images.shape[1])
    given = images.clone()
    watched.maps[given.untyped_storage().data_ptr()] = [(1.0, 0.0)]
    watched.kept.append(given)
    with torch.no_grad(), in_eval_mode(network), same_draws(device_of(network)), watched:
        network(given)
    pairs = [(-b / a, 1 / a) for a, b in watched.last if a and (a, b) != (1.0, 0.0)]
    if not pairs:
        return None
    mean, std = (sum(pair[place] for pair in pairs) / len(pairs) for place in (0, 1))
    if std >= _OF_BYTES:
        return Done(watched.told, of_bytes=True)
    if -_CLOSE <= mean <= 1 + _CLOSE and 0 < std <= 1 + _CLOSE and max(abs(mean), abs(std - 1)) > _CLOSE:
        return Done(watched.told, of_bytes=False)
    return None  # such as from one normalisation to another


class _Watched(TorchDispatchMode):
    """Follows images through the operations of a pass, until one meets a parameter.

    Attributes:
        maps: by a tensor's memory, what was done to the images that it is made of.
        last: the same of what goes into the first layer.
    """

    def __init__(self, network: nn.Module, channels: int) -> None:
        begin: Callable[[], None] = super().__init__  # torch gives it no types
        begin()
        self.channels = channels
        self.maps: dict[int, Map] = {}
        self.kept: list[Any] = []  # no memory is used again meanwhile
        self.learned = {_place(one) for one in network.parameters()} - {0}
        self.names = {
            _place(value): f"{name}.{key}" if name else key
            for name, module in network.named_modules()
            for key, value in {**vars(module), **module._buffers, **module._parameters}.items()
            if isinstance(value, Tensor)
        }
        self.used: dict[str, None] = {}
        self.line = ""
        self.last: Map = []
        self.over = False

    @property
    def told(self) -> str:
        """Where it is done: the names of the buffers, or else the line."""
        holders = {name.rpartition(".")[0] for name in self.used}
        if not self.used or len(holders) > 1:
            return self.line or "in its code"
        short = " and ".join(name.rpartition(".")[2] for name in self.used)
        return ".".join([*filter(None, holders), short])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        pictured = [_place(one) for one in before if _place(one) in self.maps]
        known = [self.maps[place] for place in pictured]
        learned = [one for one in before if _place(one) in self.learned]
        layers = not _is_plain(func) or any(one.numel() > self.channels for one in learned)
        found = func(*args, **(kwargs or {}))
        if self.over:
            return found
        self.kept += [*before, found]
        if pictured and learned and layers:
            self.last, self.over = known[0], True
        elif learned and not pictured:
            self.learned |= {_place(one) for one in tree_leaves(found) if isinstance(one, Tensor)}
        elif pictured:
            self._follow(func, args, kwargs or {}, found, known)
        return found

    def _follow(self, func: Any, args: Sequence[Any], kwargs: Any, found: Any, known: list[Map]) -> None:
        name = func.overloadpacket.__name__
        done = known[0] if len(set(map(tuple, known))) == 1 else [pair for one in known for pair in one]
        if _is_plain(func) and len(known) == 1 and not kwargs.get("rounding_mode"):
            done = self._computed(name.rstrip("_"), args, kwargs, done)
        inside = name.endswith("_") and isinstance(args[0], Tensor)
        for one in tree_leaves(found):
            if not isinstance(one, Tensor) or not one.is_floating_point():
                continue
            place = _place(one)
            part = inside and one.numel() < one.untyped_storage().nbytes() // one.element_size()
            old = [pair for pair in self.maps.get(place, []) if pair != (1.0, 0.0)] if part else []
            self.maps[place] = list(dict.fromkeys([*old, *done])) if part else done

    def _computed(self, name: str, args: Sequence[Any], kwargs: Any, done: Map) -> Map:
        """Return what was done once an image is added to, subtracted from, multiplied or divided by a constant."""
        first, second = args[0], args[1] if len(args) > 1 else -1.0
        swapped = not (isinstance(first, Tensor) and _place(first) in self.maps)
        constant = first if swapped else second
        values = _numbers(constant, self.channels)
        if not values or (swapped and name == "div"):
            return done
        steps: dict[str, Callable[[float, float, float], tuple[float, float]]] = {
            "add": lambda a, b, c: (a, b + c),
            "sub": lambda a, b, c: (-a, c - b) if swapped else (a, b - c),
            "rsub": lambda a, b, c: (-a, c - b),
            "mul": lambda a, b, c: (a * c, b * c),
            "div": lambda a, b, c: (a / c, b / c) if c else (a, b),
            "neg": lambda a, b, c: (-a, -b),
        }
        if (name in ("add", "sub") and kwargs.get("alpha", 1) != 1) or (name == "rsub" and len(args) > 2):
            return done
        if isinstance(constant, Tensor) and _place(constant) in self.names:
            self.used[self.names[_place(constant)]] = None
        self.line = self.line or _line()
        pairs = zip(done * (len(values) if len(done) == 1 else 1), values * len(done), strict=False)
        made = [steps[name](a, b, c) for (a, b), c in pairs]
        return [_rounded(pair) for pair in made]


def _is_plain(func: Any) -> bool:
    return str(func.overloadpacket.__name__).rstrip("_") in _PLAIN


def _rounded(pair: tuple[float, float]) -> tuple[float, float]:
    """Return 1 and 0 where a map is as good as none, as that by 255 and back."""
    return (1.0, 0.0) if abs(pair[0] - 1) < 1e-6 and abs(pair[1]) < 1e-6 else pair


def _place(one: Tensor) -> int:
    return one.untyped_storage().data_ptr()


def _numbers(value: Any, channels: int) -> list[float]:
    """Return a number, or one a channel; nothing of anything else."""
    if isinstance(value, int | float):
        return [float(value)]
    if not isinstance(value, Tensor) or value.numel() not in (1, channels) or value.is_complex():
        return []
    numbers: list[float] = value.detach().flatten().float().tolist()
    return numbers


def _line() -> str:
    """Return the line of the user's code that runs: `net.py, line 9`."""
    frame = sys._getframe(2)
    while frame.f_back is not None and not is_users(Path(frame.f_code.co_filename)):
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    return f"{file.name}, line {frame.f_lineno}" if is_users(file) else ""
