"""Buffers that a network does not save, made part of what a run keeps of it."""

from __future__ import annotations

from torch import Tensor, nn


def keep_all_buffers(network: nn.Module) -> frozenset[str]:
    """Make every buffer part of the state dict, so that a run reopens with the values that it was trained with.

    A buffer that is drawn at random when the network is built, and is not saved, would be drawn anew.

    Returns:
        The names of those that were not part of it.
    """
    names = set()
    for prefix, module in network.named_modules(remove_duplicate=False):
        names |= {f"{prefix}.{name}" if prefix else name for name in module._non_persistent_buffers_set}
    for module in network.modules():
        module._non_persistent_buffers_set.clear()
    return frozenset(names)


def put_buffer(network: nn.Module, name: str, value: Tensor) -> None:
    """Replace a buffer by another of any shape."""
    parent, _, leaf = name.rpartition(".")
    network.get_submodule(parent).register_buffer(leaf, value)
