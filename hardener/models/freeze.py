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
            asked.update(_beside(head or _head(network, num_classes, f"--freeze {ALL_BUT_HEAD}"), known))
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


class HeldBody:
    """All of a network before its final layer, held still for a while: as `freeze` does, and it can be let go again.

    What is frozen for good stays so.

    Attributes:
        parameters: those that are held.
        names: what is held, topmost names only, in the network's order.
        is_held: whether it is now; it is not at first.
    Raises:
        HardenerError: the network has no final layer, or one that learns nothing, or nothing before it learns.
    """

    def __init__(self, network: nn.Module, *, num_classes: int, head: str | None = None) -> None:
        known, modules = _names(network), dict(network.named_modules())
        self.names = list(_beside(head or _head(network, num_classes, "network.head_first", "Leave it out."), known))
        held = {tensor for name in self.names for tensor in known[name]}
        self.parameters = {p for p in network.parameters() if p in held and p.requires_grad}
        parts = [part for name in self.names if name in modules for part in modules[name].modules()]
        self._parts = [part for part in dict.fromkeys(parts) if not stays_in_eval(part)]
        self.is_held = False
        if not self.parameters or all(p in held or not p.requires_grad for p in network.parameters()):
            raise HardenerError(
                "network.head_first takes a head and a body that both learn, and one of them is frozen: leave out "
                "--freeze, or --set network.head_first=0."
            )

    def hold(self, held: bool) -> bool:
        """Hold it, or let it go; return whether that changed something."""
        if held == self.is_held:
            return False
        self.is_held = held
        for parameter in self.parameters:
            parameter.requires_grad_(not held)
            parameter.grad = None
        for part in self._parts:
            if held:
                part.training = False
                part.train = MethodType(_stay, part)
            else:
                del part.train
        return True


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


def _head(network: nn.Module, num_classes: int, asked: str, advice: str = "Name what to freeze.") -> str:
    try:
        return find_head(network, num_classes)
    except HardenerError:
        raise HardenerError(
            f"{asked}: the model has no final linear layer with {num_classes} outputs. {advice}"
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
