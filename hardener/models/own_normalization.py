"""Networks that normalise images by themselves: what they hold for it, what they do, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hardener.models.normalization_done import BYTES, Done, normalization_done
from hardener.runtime.model_state import device_of

_OF_BYTES, _NEAR = 1 / 255, 0.01
_MEANS = ("mean", "mu", "means", "pixel_mean", "image_mean", "new_mean", "norm_mean", "_mean", "_mu")
_STDS = ("std", "sigma", "stds", "pixel_std", "image_std", "new_std", "norm_std", "_std", "_sigma")


def normalization_of(network: nn.Module, images: Tensor) -> Done | None:
    """Return what a network does of this by itself, as watched in a pass; of one that fails there, by what it holds."""
    try:
        return normalization_done(network, images.to(device_of(network)))
    except Exception:  # the user's own code, which may raise anything
        held = own_normalization(network)
        return Done(held[0], of_bytes=False) if held else None


def own_normalization(network: nn.Module) -> list[str]:
    """Return the places of a network where it holds a mean and a deviation of its images' channels.

    These are tensors or lists of one or three numbers, in pairs of usual names: `mean` and `std`, `mu` and `sigma`.
    """
    found = []
    for name, module in network.named_modules():
        held: dict[str, Any] = {**vars(module), **module._buffers, **module._parameters}
        found += [f"{name}.{pair}" if name else pair for pair in _pairs(held)]
    return found


def normalization_in(tensors: Mapping[str, Tensor], names: Iterable[str]) -> str | None:
    """Return a mean and a deviation that lie among the tensors of a checkpoint, as `--normalize` takes them."""
    for name in names:
        holder, _, last = name.rpartition(".")
        if last not in _MEANS:
            continue
        std = f"{holder}.{_STDS[_MEANS.index(last)]}".lstrip(".")
        mean, deviation = _numbers(tensors.get(name)), _numbers(tensors.get(std))
        if mean and deviation and len(mean) == len(deviation) and max(mean + deviation) <= 1 and min(deviation) > 0:
            return "/".join(",".join(f"{value:.4g}" for value in part) for part in (mean, deviation))
    return None


def _pairs(held: Mapping[str, Any]) -> list[str]:
    both = [(mean, std) for mean, std in zip(_MEANS, _STDS, strict=True) if mean in held and std in held]
    return [
        f"{mean} and {std}"
        for mean, std in both
        if (a := _numbers(held[mean])) and (b := _numbers(held[std])) and len(a) == len(b) and min(b) > 0
    ]


def _numbers(value: Any) -> list[float]:
    """Return one or three numbers, and nothing of anything else."""
    if not isinstance(value, Tensor):
        if not isinstance(value, list | tuple) or len(value) not in {1, 3}:
            return []
        if not all(isinstance(number, int | float) for number in value):
            return []
        value = torch.tensor(value, dtype=torch.float32)
    if value.numel() not in {1, 3} or value.numel() != max([*value.shape, 1]) or value.is_complex() or value.is_meta:
        return []
    numbers: list[float] = value.detach().flatten().float().tolist()
    return numbers


def fault_of_normalization(
    network: nn.Module, asked: str, left: str | None, images: Tensor | None = None
) -> str | None:
    """Say what is wrong with a normalisation that somebody asks for; None where nothing is.

    Args:
        asked: as `--normalize` takes it.
        left: that of a layer which came with the weights and is none of the network's.
        images: some that the network takes; without them it is judged by what it holds.
    """
    held = own_normalization(network) if images is None else []
    own = Done(held[0], of_bytes=False) if held else None
    own = own if images is None else normalization_of(network, images)
    if own is not None and own.of_bytes and not _gives_bytes(asked):
        return (
            f"the model takes numbers from 0 to 255 ({own.told}), and --normalize {asked} gives it others: every "
            f"figure may be wrong. Pass --normalize {BYTES}"
        )
    if own is not None and not own.of_bytes and asked != "none":
        return (
            f"the model normalises images by itself ({own.told}), and --normalize {asked} does so a second time: every "
            "figure may be wrong. Pass --normalize none"
        )
    if left and own is None and asked != left:
        return (
            f"the weights came with a layer that normalises images by {left}, which the model does not have, and "
            f"--normalize is {asked}. Pass --normalize {left}"
        )
    return None


def _gives_bytes(asked: str) -> bool:
    """Does a normalisation turn [0, 1] into the numbers from 0 to 255?"""
    try:
        mean, std = ([float(one) for one in part.split(",")] for part in asked.split("/"))
    except ValueError:
        return False
    return not any(mean) and all(abs(one / _OF_BYTES - 1) < _NEAR for one in std)
