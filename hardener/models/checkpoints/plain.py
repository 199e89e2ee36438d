"""Whether the tensors that a network takes from a file are plain numbers: others would be copied wrongly, if at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.checkpoints.left_over import some
from hardener.models.checkpoints.match import Fit

_BYTES = 2  # of the smallest number that a weight is kept in without a scale


def check_plain(path: Path, fit: Fit, tensors: Mapping[str, Tensor], network: nn.Module) -> None:
    """See that what the network takes are dense tensors of real numbers, and no codes that a scale belongs to.

    Raises:
        HardenerError: a tensor is none.
    """
    own = network.state_dict()
    learns = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    odd, coded = [], []
    for name, there in {**fit.found, **fit.unlike}.items():
        value = tensors[there]
        kinds = {
            "on no device": value.is_meta,
            "quantised": value.is_quantized,
            "sparse": value.is_nested or value.layout != torch.strided,
            "complex": value.is_complex() and not own[name].is_complex(),
        }
        odd += [f"{name} is {kind}" for kind, holds in kinds.items() if holds][:1]
        if not any(kinds.values()) and _is_coded(value, own[name], learns=name in learns):
            coded.append(f"{name} is {str(value.dtype).removeprefix('torch.')}")
    if odd:
        raise HardenerError(
            f"{path} holds tensors that are no plain ones: {some(odd)}. Save dense tensors of real numbers."
        )
    if coded:
        scales = [name for name in tensors if "scale" in name.rpartition(".")[2]]
        beside = f" Their scales lie beside them ({some(scales)}), and are not applied here." if scales else ""
        raise HardenerError(
            f"{path} holds quantised weights: {some(coded)}.{beside} Pass the weights from before they were quantised, "
            "or multiply each by its scale and save it as float32."
        )


def _is_coded(value: Tensor, own: Tensor, *, learns: bool) -> bool:
    """Whether a tensor holds codes where the network has numbers: small floats, or integers for what learns.

    Whole numbers of 4 bytes or more in one row, such as a bias, are taken as they are.
    """
    if not own.is_floating_point():
        return False
    if value.is_floating_point():
        return value.element_size() < _BYTES
    return learns and (value.element_size() <= _BYTES or value.ndim > 1)


def check_finite(path: Path, fit: Fit, tensors: Mapping[str, Tensor], network: nn.Module) -> None:
    """See that what learns is finite; what does not may be infinite, as a mask of attention is.

    Raises:
        HardenerError: something is not.
    """
    for name, parameter in network.named_parameters(remove_duplicate=False):
        there = fit.found.get(name)
        if there is None or not tensors[there].is_floating_point():
            continue
        value = tensors[there].float()
        if bool((~value.isfinite() if parameter.requires_grad else value.isnan()).any()):
            raise HardenerError(
                f"{path} holds numbers in {there} that are not finite: its training has diverged. Take an earlier "
                "checkpoint."
            )
