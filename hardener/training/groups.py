"""A network's parameters -> an optimiser's groups, the layers near the input with smaller learning rates."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import nn

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def parameter_groups(
    network: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    apart: Collection[nn.Parameter] = (),
) -> list[dict[str, Any]]:
    """Return groups for an optimiser; a level's learning rate is `lr * layer_decay ** (levels above it)`.

    Levels are told by the order in which the network's modules are registered. Its children are levels, but one that
    wraps the rest, a Sequential, ModuleList or ModuleDict, or a module that holds one of these with two or more blocks
    counts child by child, so that a residual block or a transformer's is one level. A normalisation belongs to the
    level before it, a parameter that stands alone (a class token) to the one after it. The last level, the head,
    learns at `lr`.

    Args:
        layer_decay: in (0, 1]; 1 gives one group.
        apart: these get groups of their own, each before the rest of its level: torch's fused SGD takes no group of
            which a part begins to learn later.
    Returns:
        Groups with `params`, `lr`, `weight_decay` and `lr_scale`, the factor that a schedule multiplies its rate by.
        Frozen parameters are in none, yet their levels count.
    Note: weight decay takes in every parameter, also biases and norms, as in the recipes' sources.
    Source: Bao et al., "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022, for the decay by layer.
    """
    levels = [list(network.parameters())] if layer_decay == 1 else _levels(network)
    groups = []
    for above, level in zip(reversed(range(len(levels))), levels, strict=True):
        scale = layer_decay**above
        learning = [parameter for parameter in level if parameter.requires_grad]
        held = {parameter for parameter in learning if parameter in apart}
        for part in ([p for p in learning if p in held], [p for p in learning if p not in held]):
            if part:
                groups.append({"params": part, "lr": lr * scale, "weight_decay": weight_decay, "lr_scale": scale})
    return groups


def _levels(network: nn.Module) -> list[list[nn.Parameter]]:
    """Every parameter once, level by level, from the input up."""
    levels: list[list[nn.Parameter]] = []
    seen: set[nn.Parameter] = set()
    for level in _open(_unwrapped(network)):
        own = [parameter for parameter in level if parameter not in seen]  # a tied one counts where it stands first
        seen.update(own)
        if levels and all(parameter.dim() <= 1 for parameter in own):
            levels[-1].extend(own)
        else:
            levels.append(own)
    return levels


def _unwrapped(network: nn.Module) -> nn.Module:
    """Go down while a module is nothing but the wrapper of one other."""
    while True:
        children = [child for child in network.children() if any(True for _ in child.parameters())]
        if len(children) != 1 or list(network.parameters(recurse=False)):
            return network
        network = children[0]


def _open(module: nn.Module) -> list[list[nn.Parameter]]:
    levels: list[list[nn.Parameter]] = []
    for child in module.children():
        if isinstance(child, _LISTS) or any(_holds_blocks(part) for part in child.modules()):
            levels += _open(child)
        else:
            levels.append(list(child.parameters()))
    levels = [level for level in levels if level]
    alone = list(module.parameters(recurse=False))
    if alone and levels:
        levels[0] = alone + levels[0]
    elif alone:
        levels = [alone]
    return levels


def _holds_blocks(module: nn.Module) -> bool:
    """Is this a list of two or more modules that are themselves made of modules, and are no lists?"""
    return isinstance(module, _LISTS) and sum(map(_is_block, module.children())) > 1


def _is_block(module: nn.Module) -> bool:
    return not isinstance(module, _LISTS) and any(True for _ in module.children())
