"""Parts of a network that do not learn: their parameters stay, and so do their batch statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from types import MethodType

from torch import Tensor, nn

from hardener.errors import HardenerError, did_you_mean
from hardener.models.head import find_head

ALL_BUT_HEAD = "all-but-head"


def freeze(network: nn.Module, patterns: Sequence[str], *, num_classes: int, head: str | None = None) -> list[str]:
    """Let parts of a network learn nothing: no gradient for their parameters, and eval mode for good.

    In eval mode batch norm uses its running statistics and leaves them as they are, and dropout drops nothing; a later
    `network.train()` does not change that, nor does a deep copy. What is put into the network afterwards is not frozen.

    Args:
        patterns: names of modules or parameters, in which `*` stands for any characters, dots too, and `?` for one. All
            that is below a module is frozen with it. `all-but-head` is all that is learned before the final layer.
        num_classes: the number of outputs, by which the final layer is found.
        head: the final layer's name, where it is known.
    Returns:
        What is frozen, topmost names only, in the network's order.
    Raises:
        HardenerError: a pattern that no name matches or that holds nothing to freeze, no final layer, or nothing left
            to learn.
    """
    known = _names(network)
    asked: set[str] = set()
    for pattern in patterns:
        if pattern == ALL_BUT_HEAD:
            asked.update(_beside(head or _head(network, num_classes), known))
        else:
            asked.update(_matching(pattern, known))
    chosen = [name for name in known if name in asked and not any(parent in asked for parent in _parents(name))]
    frozen = {tensor for name in chosen for tensor in known[name] if isinstance(tensor, nn.Parameter)}
    if chosen and not any(p.requires_grad for p in network.parameters() if p not in frozen):
        raise HardenerError(f"--freeze {', '.join(patterns)} leaves nothing to learn. Try --freeze {ALL_BUT_HEAD}.")
    for parameter in frozen:
        parameter.requires_grad_(False)
    modules = dict(network.named_modules())
    for name in chosen:
        if name in modules:
            keep_in_eval(modules[name])
    return chosen


def _names(network: nn.Module) -> dict[str, list[Tensor]]:
    """Every module and parameter by name, parents first, with the parameters and buffers that it is or holds."""
    found: dict[str, list[Tensor]] = {}
    for prefix, module in network.named_modules():
        if prefix:
            found[prefix] = [*module.parameters(), *module.buffers()]
        for name, parameter in module.named_parameters(prefix, recurse=False):
            found[name] = [parameter]
    return found


def _matching(pattern: str, known: dict[str, list[Tensor]]) -> list[str]:
    matching = [name for name in known if fnmatchcase(name, pattern)]
    if not matching:
        top = [name for name, held in known.items() if "." not in name and held]
        below = next((name for name in known if "." in name and f"{name}.weight" in known), "")
        raise HardenerError(
            f"--freeze {pattern!r} matches no module of the model.{did_you_mean(pattern, [*known, ALL_BUT_HEAD])} Its "
            f"modules are {', '.join(top[:8])}{', …' if len(top) > 8 else ''} and what is below them"
            f"{', such as ' + below if below else ''}; {ALL_BUT_HEAD} is all but the final layer."
        )
    if not any(known[name] for name in matching):
        raise HardenerError(f"--freeze {pattern!r} matches {matching[0]} alone, which learns nothing as it is.")
    return matching


def _head(network: nn.Module, num_classes: int) -> str:
    try:
        return find_head(network, num_classes)
    except HardenerError:
        raise HardenerError(
            f"--freeze {ALL_BUT_HEAD}: the model has no final linear layer with {num_classes} outputs. Name what to "
            "freeze."
        ) from None


def _beside(head: str, known: dict[str, list[Tensor]]) -> Iterator[str]:
    """Names that together are all that the network learns but the head; a dropout before the head goes on."""
    above = {"", *_parents(head)}
    for name, held in known.items():
        if held and name != head and name not in above and name.rpartition(".")[0] in above:
            yield name


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def stays_in_eval(module: nn.Module) -> bool:
    """Tell whether `keep_in_eval` was called on a module or above it."""
    return getattr(vars(module).get("train"), "__func__", None) is _stay


def keep_in_eval(module: nn.Module) -> None:
    """Shadow `train` on the instances: whoever calls it, on them or above, they stay in eval mode."""
    module.train(False)
    for part in module.modules():
        part.train = MethodType(_stay, part)  # type: ignore[method-assign] # a bound method: deepcopy binds the copy


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    return module
