"""The layers that make a network's logits: found by following the logits back, and replaced."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from hardener.errors import HardenerError
from hardener.models.answer import Way, answers, features, is_named, tensors, unwrap_logits
from hardener.models.code.user_code import describe
from hardener.models.ends import end_of
from hardener.runtime.model_state import device_of, left_as_found, same_draws

BUILD_IT = "Let the model file build the right number: build_model(num_classes)."
"""What to do where no layer can be replaced."""
_NO_SCORES = (
    "what the model returns as (N, K) carries no gradient, as a choice by argmax does: no scores of classes are among "
    "what it returns. Return those in the model file: for capsules, the lengths of their vectors, vectors.norm(dim=2)."
)
_COUNTS = ("num_labels", "num_classes", "n_classes", "num_class", "nclasses")
"""What networks call their number of outputs, which their forward may use."""
_OF_CONVOLUTIONS = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
_Rows = tuple[Way, Tensor, list[str]]
"""Where rows stand in what a network returns, and the layers that make them."""
_NORMS: dict[str, Callable[..., nn.Module]] = {
    "_WeightNorm": parametrizations.weight_norm,
    "_SpectralNorm": parametrizations.spectral_norm,
}


def count_outputs(network: nn.Module, *, channels: int, height: int, width: int, num_classes: int | None = None) -> int:
    """Run two black images through the network, in eval mode, and count its logits, or the features it gives instead.

    Args:
        num_classes: of several tensors that it returns, one with so many columns is counted.
    Raises:
        HardenerError: the network fails on such images, or returns no logits, or not one row for each image.
    """
    was_training = network.training
    device = device_of(network)
    try:
        with torch.no_grad():
            network.train(False)
            output = network(torch.zeros(2, channels, height, width, device=device))
    except HardenerError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code: it may raise anything
        raise HardenerError(
            f"the model fails on images of {channels} x {height} x {width} (channels, height, width): {describe(error)}"
        ) from error
    finally:
        network.train(was_training)
    maps = None if any(answers(output)) else features(output, (2, channels, height, width), num_classes)
    rows, outputs = (unwrap_logits(output, width=num_classes) if maps is None else maps.rows).shape
    if rows != 2:
        raise HardenerError(f"the model answers 2 images of {channels} x {height} x {width} with {rows} rows of logits")
    return int(outputs)


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
        raise HardenerError(_no_head(outputs))
    return heads[-1]


class OtherRows(HardenerError):
    """A network answers with another number of rows than it was given images."""


@dataclass(frozen=True)
class Answer:
    """What a network answers with.

    Attributes:
        outputs: columns of its logits.
        heads: names of layers whose outputs are, or become, logits: the main one first, then those of other exits. None
            where no layer makes the logits, or no graph tells.
        way: where in what the network returns its logits stand, where several tensors could be them.
        others: where those others stand.
        averaged: the features that it gives over places, or in tokens, in words: `outputs` are their averages. Empty
            where its rows are as the network returns them.
    """

    outputs: int
    heads: tuple[str, ...]
    way: Way | None
    others: tuple[Way, ...]
    averaged: str = ""


def look_at_answer(
    network: nn.Module, images: Tensor, num_classes: int | None = None, *, first_exit: bool = False
) -> Answer:
    """Find the logits in what a network returns, and follow them back to the layers that make them.

    The network is asked in eval mode. Of several tensors that could be logits, one with `num_classes` columns is taken,
    one that a layer makes, one that is no softmax of another, one that is no step on the way to another, one that the
    most parameters lead to unless its name says that it is the logits, and then the first. Where none could be, feature
    maps or tokens are looked for.

    Args:
        images: some that the network takes, (N, C, H, W), N >= 2.
        first_exit: how many parameters lead to a tensor does not count.
    Raises:
        OtherRows: none of what it returns has a row for each image.
        HardenerError: the network returns no logits.
    """
    traced = _trace(network, images, training=False)
    found = [(way, rows, _makers(traced, rows)) for way, rows in answers(traced.output, len(images))]
    if not found:
        maps = features(traced.output, images.shape, num_classes)
        if maps is not None and maps.rows.requires_grad:
            return Answer(int(maps.rows.shape[1]), (), maps.way, (), maps.told)
        unwrap_logits(traced.output)  # raises
    rows_of = {len(item[1]) for item in found}
    if len(images) not in rows_of:
        raise OtherRows(f"the model answers {len(images)} images with {rows_of.pop()} rows of logits")
    found = [item for item in found if len(item[1]) == len(images)]
    if any(one.requires_grad for one in tensors(traced.output)):
        found = [item for item in found if item[1].requires_grad]
        if not found:
            raise HardenerError(_NO_SCORES)
    fitting = [item for item in found if item[1].shape[1] == num_classes]
    chosen = [item for item in fitting or found if _makes(item[2], network, item[1])] or fitting or found
    chosen = [item for item in chosen if not _is_end_of_another(item[1], chosen)] or chosen
    chosen = [item for item in chosen if not any(_leads_to(item[1], other[1]) for other in chosen)] or chosen
    way, rows, heads = chosen[0] if first_exit else _farthest(chosen)
    outputs = int(rows.shape[1])
    beside = [item for item in found if item[0] != way and item[1].shape[1] == outputs]
    makers = dict.fromkeys(heads)
    for _, other, names in beside:
        if _makes(names, network, other) and not _leads_to(other, rows):
            makers.update(dict.fromkeys(names))
    several = len(found) > 1
    return Answer(outputs, tuple(makers), way if several else None, tuple(item[0] for item in found if item[0] != way))


def _farthest(several: Sequence[_Rows]) -> _Rows:
    """Return what the most parameters lead to, as to the last of several exits; the first of equals, or of those whose
    names tell."""
    if len(several) == 1 or is_named(several[0][0]):
        return several[0]
    return max(several, key=lambda one: sum(1 for node in _before(one[1].grad_fn) if hasattr(node, "variable")))


@dataclass(frozen=True)
class _Trace:
    """What a network returned, and which module made which node of the graph that led there, in the order of calls."""

    output: Any
    makers: dict[Any, str]


def _trace(network: nn.Module, images: Tensor, *, training: bool) -> _Trace:
    makers: dict[Any, str] = {}
    hooks = []

    def watch(name: str, module: nn.Module) -> None:
        def made(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.grad_fn is not None:
                makers[output.grad_fn] = name

        hooks.append(module.register_forward_hook(made))

    for name, module in network.named_modules():
        if name and _learns_itself(module) and not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
            watch(name, module)
    try:
        with torch.enable_grad(), _mode(network, training=training), same_draws(images.device):
            output = network(images.detach().clone().requires_grad_() * 1)
    finally:
        for hook in hooks:
            hook.remove()
    return _Trace(output, makers)


def _learns_itself(module: nn.Module) -> bool:
    """Whether a module's output is its own work, rather than that of modules inside it."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        return True
    inner = any(True for child in module.children() for _ in child.parameters())
    return not inner and any(True for _ in module.parameters())


def _before(node: Any, stop: Container[Any] = ()) -> Iterator[Any]:
    """Walk a graph back from a node, breadth first; not beyond nodes of `stop`."""
    seen, border = set(), [node]
    while border:
        here = border.pop(0)
        if here is None or here in seen:
            continue
        seen.add(here)
        yield here
        if here not in stop:
            border += [before for before, _ in here.next_functions]


def _makers(traced: _Trace, logits: Tensor) -> list[str]:
    """Return the modules that are met first on every way back from the logits."""
    met = [traced.makers[node] for node in _before(logits.grad_fn, traced.makers) if node in traced.makers]
    return list(dict.fromkeys(met))


def _leads_to(one: Tensor, other: Tensor) -> bool:
    """Whether another tensor was computed from this one."""
    if one is other or one.grad_fn is None or other.grad_fn is None:
        return False
    return one.grad_fn is not other.grad_fn and one.grad_fn in _before(other.grad_fn)


def _is_end_of_another(one: Tensor, others: Iterable[_Rows]) -> bool:
    """Whether these are the probabilities, or the like, of other logits that are returned beside them."""
    return end_of(one) is not None and any(rows.shape == one.shape and _leads_to(rows, one) for _, rows, _ in others)


def _makes(names: Sequence[str], network: nn.Module, rows: Tensor) -> bool:
    return any(_width(network.get_submodule(name)) == rows.shape[1] for name in names)


def _width(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None


def auxiliary_heads(network: nn.Module, outputs: int, images: Tensor) -> list[str]:
    """Return the layers that make logits in training mode, where auxiliary heads answer too; none where that fails."""
    try:
        with left_as_found(network):
            traced = _trace(network, images, training=True)
    except Exception:  # the user's own code: it may raise anything; what matters of it is rehearsed elsewhere
        return []
    found = [_makers(traced, rows) for _, rows in answers(traced.output, len(images)) if rows.shape[1] == outputs]
    return [name for names in found for name in names if _width(network.get_submodule(name)) == outputs]


def see_that_heads_can_be_replaced(network: nn.Module, outputs: int, heads: Sequence[str]) -> list[str]:
    """Return those of some layers that make the logits; all is well where none is named, since no graph tells.

    Raises:
        HardenerError: the logits are made by none of them, and so by no layer that can be replaced.
    """
    named = dict(network.named_modules(remove_duplicate=False))
    chosen = [name for name in heads if name in named and _width(named[name]) == outputs]
    other = next((name for name in heads if name not in chosen and name in named), None)
    if heads and not chosen:
        raise HardenerError(_no_head(outputs, None if other is None else f"{other}, {_kind(named[other])}"))
    return chosen


def replace_heads(network: nn.Module, outputs: int, num_classes: int, heads: Sequence[str]) -> tuple[str, ...]:
    """Put a fresh layer with `num_classes` outputs in place of each head; return their names.

    Layers that share their weights share the fresh ones too. What the network calls its number of classes is changed
    with them.

    Args:
        heads: as `find_heads` returns them, or as an earlier call did.
    Raises:
        HardenerError: the logits are not made by linear layers or convolutions.
    """
    named = dict(network.named_modules(remove_duplicate=False))
    chosen = see_that_heads_can_be_replaced(network, outputs, heads)
    if not chosen:
        raise HardenerError(_no_head(outputs))
    fresh: dict[nn.Module, nn.Module] = {}
    tied: dict[nn.Parameter, nn.Module] = {}
    for name in chosen:
        old = named[name]
        fresh[old] = _fresh(name, old, num_classes)
        weight = getattr(old, "weight", None)
        if isinstance(weight, nn.Parameter) and weight in tied:
            fresh[old].weight = tied[weight].weight
        elif isinstance(weight, nn.Parameter):
            tied[weight] = fresh[old]
    for (
        name,
        old,
    ) in named.items():  # also a layer's other places, and in a Sequential, whose children are named 0, 1, …
        if old in fresh:
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, fresh[old])
    _recount(network, outputs, num_classes)
    return tuple(chosen)


def _fresh(name: str, old: nn.Module, num_classes: int) -> nn.Module:
    """Return a new layer like the old one but for its number of outputs, and trainable."""
    plain = parametrize.type_before_parametrizations(old) if parametrize.is_parametrized(old) else type(old)
    fresh: nn.Module
    if getattr(plain, "forward", None) not in (nn.Linear.forward, nn.Conv2d.forward):
        return _fresh_of_its_class(name, old, num_classes)
    if isinstance(old, nn.Linear):
        fresh = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    else:
        assert isinstance(old, nn.Conv2d), "a head is a linear layer or a convolution"
        if num_classes % old.groups:
            raise HardenerError(_no_head(old.out_channels, f"{name}, a convolution in {old.groups} groups"))
        like: dict[str, Any] = {name: getattr(old, name) for name in _OF_CONVOLUTIONS}
        fresh = nn.Conv2d(old.in_channels, num_classes, bias=old.bias is not None, **like)
    held = next(old.parameters())
    fresh.to(device=held.device, dtype=held.dtype)
    return _normed(name, old, fresh)


def _fresh_of_its_class(name: str, old: nn.Module, num_classes: int) -> nn.Module:
    """Return a layer of a user's own class of linear layers with fresh weights for another number of outputs, and all
    else as the old one has it, as long as nothing else in it is as long as its outputs."""
    outputs = _width(old) or 0
    held = [*old.named_parameters(), *old.named_buffers()]
    others = [one for key, one in held if key not in ("weight", "bias")]
    if not isinstance(old, nn.Linear) or parametrize.is_parametrized(old) or any(outputs in o.shape for o in others):
        raise HardenerError(_no_head(outputs, f"{name}, {_kind(old)}"))
    fresh = copy.deepcopy(old)
    plain = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    plain.to(device=old.weight.device, dtype=old.weight.dtype)
    fresh.out_features, fresh.weight, fresh.bias = num_classes, plain.weight, plain.bias
    return fresh


def _normed(name: str, old: nn.Module, fresh: nn.Module) -> nn.Module:
    """Give the new layer the old one's norm of weights."""
    if any(type(hook).__name__ == "WeightNorm" for hook in old._forward_pre_hooks.values()):
        return _NORMS["_WeightNorm"](fresh)
    if any(type(hook).__name__ == "SpectralNorm" for hook in old._forward_pre_hooks.values()):
        return _NORMS["_SpectralNorm"](fresh)
    if not parametrize.is_parametrized(old):
        return fresh
    assert isinstance(old.parametrizations, nn.ModuleDict), "torch keeps them there"
    for what, applied in old.parametrizations.items():
        for one in nn.Module.children(applied):
            again = _NORMS.get(type(one).__name__)
            if again is None:
                raise HardenerError(_no_head(_width(old) or 0, f"{name}, whose {what} is made by {type(one).__name__}"))
            fresh = again(fresh, what)
    return fresh


def _recount(network: nn.Module, outputs: int, num_classes: int) -> None:
    """Change what the network calls its number of classes, which its forward may use."""
    for module in network.modules():
        for holder in (module, getattr(module, "config", None)):
            for name in _COUNTS:
                if type(getattr(holder, name, None)) is int and getattr(holder, name) == outputs:
                    setattr(holder, name, num_classes)


def _kind(layer: nn.Module) -> str:
    name = type(layer).__name__
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _no_head(outputs: int, made_by: str | None = None) -> str:
    why = f": they are made by {made_by}" if made_by else ""
    return f"the model has no final linear layer with {outputs} outputs to replace{why}. {BUILD_IT}"


@contextmanager
def _mode(network: nn.Module, *, training: bool) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.train(training)
    try:
        yield
    finally:
        for module, before in modes:
            module.training = before
