"""Build a network as a trial, and see what it answers to images: without weights where that works, and without a trace
in the random numbers."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.overrides import TorchFunctionMode

from hardener.errors import HardenerError
from hardener.models.answer import features, unwrap_logits
from hardener.models.code.arguments import Facts
from hardener.models.code.time_limit import time_limit
from hardener.models.code.unfetched import unfetched
from hardener.models.code.user_code import user_code
from hardener.models.conditions import Conditions, noise
from hardener.models.dry_step import MOST, dry_step
from hardener.models.normalize import ImageClassifier
from hardener.models.rows import lay_out_as_rows
from hardener.models.tame import switching

SIZES = (32, 224, 64, 28, 96, 128, 299, 227, 384, 48, 256, 331)
"""Sides of square images that networks are often made for, the commonest first."""
_SMALL, _MOST_COMPUTED = 100, 2
"""Sides up to this are shown first where numbers are computed, and then so many larger ones: a network of splines takes
seconds for a large one."""
_SIDE = re.compile(r"\b\d{2,3}\b")
_MOST_NUMBERS = 400_000_000
_BUDGET_S = 15.0
_LONGEST_S, _MOST_LONG = 8.0, 3
"""One trial may take so long; those that take longer, up to so many, take nothing from the time of all."""
_MADE_ON_CPU = {torch.linspace, torch.tensor, torch.as_tensor}
_MADE = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}


class NothingReturned(TypeError):
    """What should make a network returned None."""


@dataclass(frozen=True)
class Trial:
    """What came of building a network and showing it images.

    Attributes:
        built: it could be built.
        parameters: how many numbers it learns.
        outputs: the number of its logits; None where it takes no such images, or does not classify.
        size: of the images that it takes; others than were asked for where those do not fit, and none for features
            of those that were.
        error: what it raised.
        features: how many it gives an image, in maps or tokens, where it gives no logits.
        fetches: addresses of weights that its code would fetch.
    """

    built: bool
    parameters: int = 0
    outputs: int | None = None
    size: tuple[int, int] | None = None
    error: BaseException | None = None
    features: int | None = None
    fetches: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What it is, in figures."""
        answer = f"{self.features} features" if self.outputs is None else f"{self.outputs} outputs"
        return f"{self.parameters:,} parameters" + (f", {answer}" if self.outputs or self.features else "")


class Trials:
    """Trials that together keep to a bounded time.

    Args:
        rows: what takes an image as a row of numbers, or as its lines, is given it so.
        likely: returns sides of other images that are likelier than those that are usual; asked where one is needed.
    """

    def __init__(self, facts: Facts, *, rows: bool = False, likely: Callable[[], Sequence[int]] = tuple) -> None:
        self.facts, self.rows = facts, rows
        self._likely = likely
        self._used_s, self._long = 0.0, 0

    @functools.cached_property
    def sides(self) -> tuple[int, ...]:
        """Sides of square images, the likeliest first."""
        return tuple(dict.fromkeys([*self._likely(), *SIZES]))

    @property
    def spent(self) -> bool:
        """Is the time used up?"""
        return self._used_s > _BUDGET_S

    @property
    def running_out(self) -> bool:
        """Is more than half of the time used up?"""
        return self._used_s > _BUDGET_S / 2

    def run(self, build: Callable[[], Any], *, other_sizes: bool = False, size: tuple[int, int] | None = None) -> Trial:
        """Build a network and show it two images.

        Args:
            other_sizes: where it does not take them, try other sizes.
            size: of the images, where it is not the one that is known.
        """
        size = size or self.facts.size
        if self.spent:
            return Trial(False, error=TimeoutError("no time was left to try it"))
        with self._timed():
            trial = self._run(build, size, other_sizes=other_sizes)
        if isinstance(trial.error, TimeoutError) and self._long < _MOST_LONG:
            self._long += 1
            self._used_s -= _LONGEST_S
        return trial

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time that trials take, and not that of reading code between them."""
        begun = time.process_time()
        try:
            yield
        finally:
            self._used_s += time.process_time() - begun

    def _run(self, build: Callable[[], Any], size: tuple[int, int] | None, *, other_sizes: bool) -> Trial:
        try:
            with _apart(), time_limit(_LONGEST_S):
                tried = self._once(build, [size] if size else [])
                ended = isinstance(tried.error, TimeoutError)
                if other_sizes and size is not None and not ended and tried.parameters and tried.outputs is None:
                    sides = dict.fromkeys([*_named_by(tried.error), *self.sides])
                    further = self._once(build, [(side, side) for side in sides if (side, side) != size])
                    if further.outputs is not None or (further.features and not tried.features):
                        return replace(further, error=tried.error)
                return tried
        except TimeoutError as error:  # raised where no trial was going on any more, or yet
            return Trial(False, error=error)

    def step(self, build: Callable[[], Any], trial: Trial) -> HardenerError | None:
        """Build a network once more, and take a step of training with it.

        Args:
            trial: what it answered before.
        Returns:
            Why that fails; None also where there is no time to find out.
        """
        if self.spent or trial.outputs is None or trial.size is None:
            return None
        with _apart(), self._timed():
            with torch.device("meta"), _Weightless(), unfetched():
                fault = _step(build, trial, self.facts.channels, rows=self.rows)
            if fault is None or not _is_of_meta(fault.__cause__ or fault):
                return fault
            if torch.cuda.is_available():  # then it may ask for that device, and will be there
                return None
            with _Bounded(), unfetched():
                fault = _step(build, trial, self.facts.channels, rows=self.rows)
        return None if fault is None or isinstance(fault.__cause__, MemoryError) else fault

    def _once(self, build: Callable[[], Any], sizes: Sequence[tuple[int, int]]) -> Trial:
        """Try on the device `meta`, which computes nothing; what fails there is tried for real, within bounds."""
        with torch.device("meta"), _Weightless(), unfetched() as asked:
            first = replace(_try(build, sizes, self.facts, rows=self.rows), fetches=tuple(asked))
        if first.outputs is not None or not _is_of_meta(first.error):
            return first
        if first.parameters > _MOST_NUMBERS:
            return first
        few = [size for size in sizes if size[0] <= _SMALL]
        few += [size for size in sizes if size[0] > _SMALL][:_MOST_COMPUTED]
        with _Bounded(), unfetched() as asked:
            second = replace(_try(build, few, self.facts, rows=self.rows), fetches=tuple(asked))
        return second if second.built or not first.built else first


def _named_by(error: BaseException | None) -> list[int]:
    """Return the numbers that code names which refuses a size: `Input height (64) doesn't match model (224)`."""
    return [int(one) for one in _SIDE.findall(str(error))] if isinstance(error, AssertionError | ValueError) else []


def _is_of_meta(error: BaseException | None) -> bool:
    """Does an error come from there being no numbers? What the code says of shapes and arguments holds anyway."""
    return isinstance(error, NotImplementedError) or any(
        word in str(error) for word in ("meta", "device", "incompatible tensor type")
    )


def _try(build: Callable[[], Any], sizes: Sequence[tuple[int, int]], facts: Facts, *, rows: bool) -> Trial:
    try:
        network = build()
        if isinstance(network, tuple) and network:
            network = network[0]
        if network is None:
            raise NothingReturned("it returned nothing")
        if not isinstance(network, nn.Module):
            raise TypeError(f"it returned a {type(network).__name__}, not an nn.Module")
        found = Trial(True, _count(network))
        parameter = next(iter(network.parameters()), None)
        _to_eval_mode(network)
    except (Exception, SystemExit) as error:  # the user's own code: it may raise anything
        return Trial(False, error=error)
    for size in sizes:
        images = torch.zeros(2, facts.channels, *size, device="cpu" if parameter is None else parameter.device)
        try:
            if rows:
                lay_out_as_rows(network, images)
            with torch.no_grad():
                output = network(images)
            if found.features is None:
                maps = features(output, images.shape, facts.num_classes)
                at = None if size == facts.size else size
                found = found if maps is None else replace(found, features=int(maps.rows.shape[1]), size=at)
            logits = unwrap_logits(output, width=facts.num_classes)
        except TimeoutError as error:  # the end of the trial
            return replace(found, error=error)
        except (Exception, SystemExit) as error:  # code may end the program
            found = replace(found, error=found.error or error)
            continue
        if logits.shape[0] == 2:
            return replace(found, parameters=_count(network), outputs=int(logits.shape[1]), size=size, error=None)
        found = replace(found, error=HardenerError(f"it answers 2 images with {logits.shape[0]} rows of logits"))
    return found


def _count(network: nn.Module) -> int:
    """Return how many numbers a network has; those of lazy layers are not known before images were seen."""
    return sum(one.numel() for one in network.parameters() if not isinstance(one, UninitializedParameter))


def _step(build: Callable[[], Any], trial: Trial, channels: int, *, rows: bool) -> HardenerError | None:
    assert trial.size is not None, "it was shown images"
    assert trial.outputs is not None, "and answered"
    try:
        with user_code("its code"):  # what was built on a CPU may fail on `meta`
            made = build()
        network = made[0] if isinstance(made, tuple) else made
        device = next(network.parameters()).device
        switching(network)
        if rows:
            lay_out_as_rows(network, noise(2, channels, *trial.size, device))
        classifier = ImageClassifier(network, mean=(), std=(), classes=("",) * trial.outputs)
        classifier.contiguous = classifier.writes = True
        dry_step(classifier, Conditions(channels, *trial.size, device=device, batch=MOST), torch.contiguous_format)
    except HardenerError as error:
        return error
    return None


def _to_eval_mode(network: nn.Module) -> None:
    """Bring a network to evaluation mode; what bears the name `train` and is of another kind is not called."""
    kinds = {type(module) for module in network.modules()}
    switches = (inspect.unwrap(kind.train) for kind in kinds)  # LeViT's stands behind @torch.no_grad()
    if all("mode" in getattr(getattr(switch, "__code__", None), "co_varnames", ()) for switch in switches):
        with contextlib.suppress(Exception):  # the user's own code: it may raise anything
            network.train(False)
    for module in network.modules():
        module.training = False


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Leave random numbers as they were, and show no warnings and nothing that is printed."""
    numbers, others = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            random.setstate(numbers)
            np.random.set_state(others)


class _Weightless(TorchFunctionMode):
    """Below `torch.device("meta")`: small tables of numbers stay readable, since networks read their depth in them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":  # there are no numbers to begin with
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func in _MADE_ON_CPU:
            kwargs.setdefault("device", "cpu")
        return func(*args, **kwargs)


class _Bounded(TorchFunctionMode):
    """Stop where tensors are made that together would take too much memory."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _MADE:
            sizes = args[0] if args and isinstance(args[0], list | tuple) else args
            count = 1
            for size in sizes:
                count *= size if isinstance(size, int) else 1
            self.made += count
            if self.made > _MOST_NUMBERS:
                raise MemoryError("the network is too big to be tried")
        return func(*args, **(kwargs or {}))
