"""Networks that take an image as a row of numbers, or as a sequence of its lines: their own scripts lay it out so."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import torch
from torch import Tensor, nn

from hardener.runtime.model_state import in_eval_mode, same_draws


def lay_out_as_rows(network: nn.Module, images: Tensor) -> str:
    """Where a network fails on images as such and takes each as a row, or a sequence of lines, give it them so.

    What is done is a hook of the network: names of its parameters stay, and whoever calls it gives images. It is asked
    in eval mode, and no random number is used up.

    Args:
        images: (N, C, H, W).
    Returns:
        What was done, in words; empty where nothing was.
    """
    if isinstance(network, torch.jit.ScriptModule):  # which takes no hooks
        return ""
    met = _first_refusal(network, images) if _could_take(network, images) else None
    if met is None:
        return ""
    name, layer, shape = met
    lines = images.shape[1] == 1 and images.shape[3]
    if isinstance(layer, nn.Linear) and layer.in_features == images[0].numel() and shape[1:] == images.shape[1:]:
        hook, told = _as_row, f"each image goes in as one row of {layer.in_features} numbers, which {name} takes"
    elif isinstance(layer, nn.RNNBase) and layer.input_size == lines and len(shape) == 4:
        hook, told = _as_lines, f"each image goes in as its {images.shape[2]} lines of {lines} numbers, as {name} takes"
    else:
        return ""
    handle = network.register_forward_pre_hook(hook)
    if _fails(network, images):
        handle.remove()
        return ""
    return told


def _could_take(network: nn.Module, images: Tensor) -> bool:
    """Does any layer take as many numbers as an image has, or one of its lines?"""
    numbers, line = images[0].numel(), images.shape[3]
    return any(
        (isinstance(layer, nn.Linear) and layer.in_features == numbers)
        or (isinstance(layer, nn.RNNBase) and layer.input_size == line)
        for layer in network.modules()
    )


def _as_row(_: nn.Module, values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (values[0].flatten(1), *values[1:])


def _as_lines(_: nn.Module, values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (values[0].squeeze(1), *values[1:])


def _first_refusal(network: nn.Module, images: Tensor) -> tuple[str, nn.Module, torch.Size] | None:
    """Return the layer that was called last before a network fails, and the shape that it was given; None where the
    network takes the images, or no layer was called.
    """
    met: list[tuple[str, nn.Module, torch.Size]] = []
    with contextlib.ExitStack() as hooks:
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear | nn.RNNBase):
                note = functools.partial(_note, name or type(module).__name__, met)
                hooks.enter_context(module.register_forward_pre_hook(note))
        fails = _fails(network, images)
    return met[-1] if fails and met else None


def _note(name: str, met: list[tuple[str, nn.Module, torch.Size]], module: nn.Module, values: tuple[Any, ...]) -> None:
    if values and isinstance(values[0], Tensor):
        met.append((name, module, values[0].shape))


def _fails(network: nn.Module, images: Tensor) -> bool:
    try:
        with torch.no_grad(), in_eval_mode(network), same_draws(images.device):
            network(images)
    except TimeoutError:  # the end of a trial
        raise
    except (Exception, SystemExit):  # the user's own code: it may raise anything
        return True
    return False
