"""Weights that a file holds in parts, or under names of another kind -> the tensors that a network asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

_ENDS = ("_orig", "_mask", "_u", "_v", "_g")
_PARAMETRIZED = ".parametrizations."


def put_together(tensors: Mapping[str, Tensor], own: Collection[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Put weights together that are pruned, or normed, in a file and not in the network; and find averages whose names
    have `_` for each `.`, as mmcv keeps them.

    Args:
        own: the names of the network's tensors.
    Returns:
        All tensors, those that were made in the place of their parts; and what is to be said of it.
    """
    if any(name.endswith(("_orig", "_g")) or _PARAMETRIZED in name for name in own):
        return dict(tensors), ()
    found = dict(tensors)
    made = 0
    for name in tensors:
        one = _whole(name, tensors)
        if one is None:
            continue
        whole, value, parts = one
        if whole not in tensors:
            for part in parts:
                found.pop(part, None)
            found[whole] = value
            made += 1
    flat = {f"ema_{name.replace('.', '_')}": name for name in own}
    averaged = [name for name in found if name.rpartition(".")[2] in flat]
    for name in averaged if 2 * len(averaged) > len(own) else ():
        holder, dot, last = name.rpartition(".")
        found[f"{holder}{dot}ema.{flat[last]}"] = found.pop(name)
    said = f"{made} weight{'s' if made > 1 else ''} of the file {'lie' if made > 1 else 'lies'} in parts: put together"
    return found, (said,) if made else ()


def _whole(name: str, tensors: Mapping[str, Tensor]) -> tuple[str, Tensor, list[str]] | None:
    """Return a weight's name, its value and the names of its parts, where `name` is the first of these."""
    if _PARAMETRIZED in name:
        layer, _, rest = name.partition(_PARAMETRIZED)
        what, _, part = rest.partition(".")
        base = f"{layer}{_PARAMETRIZED}{what}."
        parts = [key for key in tensors if key.startswith(base)]
        if part == "original0" and f"{base}original1" in tensors:
            return f"{layer}.{what}", _normed(tensors[f"{base}original1"], tensors[name]), parts
        if part == "original" and {f"{base}0._u", f"{base}0._v"} <= tensors.keys():
            value = _spectral(tensors[name], tensors[f"{base}0._u"], tensors[f"{base}0._v"])
            return f"{layer}.{what}", value, parts
        return None
    for first in ("_orig", "_g"):
        if not name.endswith(first):
            continue
        base = name.removesuffix(first)
        parts = [base + end for end in _ENDS if base + end in tensors]
        if first == "_g" and f"{base}_v" in tensors:
            return base, _normed(tensors[f"{base}_v"], tensors[name]), parts
        if first == "_orig" and f"{base}_mask" in tensors:
            return base, tensors[name] * tensors[f"{base}_mask"], parts
        if first == "_orig" and {f"{base}_u", f"{base}_v"} <= tensors.keys():
            return base, _spectral(tensors[name], tensors[f"{base}_u"], tensors[f"{base}_v"]), parts
    return None


def _normed(direction: Tensor, length: Tensor) -> Tensor:
    """Return the weight of weight normalisation: g v / |v|, the norm over all that g has one value for.

    Source: Salimans and Kingma, "Weight Normalization", NeurIPS 2016, equation 2.
    """
    over = [d for d in range(direction.dim()) if length.dim() != direction.dim() or length.shape[d] == 1]
    normed: Tensor = direction * (length / torch.linalg.vector_norm(direction, dim=over, keepdim=True))
    return normed


def _spectral(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return W / sigma with sigma = u^T W v, as a layer with spectral norm answers in eval mode.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, equations 8 and 9.
    """
    first = weight if weight.shape[0] == len(u) else weight.transpose(0, 1)
    normed: Tensor = weight / torch.dot(u, first.flatten(1) @ v)
    return normed
