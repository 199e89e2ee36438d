"""A model's mode, precision and place while it is measured, and images as it takes them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


def as_float(images: Tensor) -> Tensor:
    """Turn uint8 images into floats in [0, 1]; floats stay."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's parameters, or else its buffers, live."""
    held = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if held is None else held.device


def lay_out(model: nn.Module, order: torch.memory_format) -> None:
    """Keep a model's weights in a memory order. Of others than four dimensions torch knows no channels_last."""
    model._apply(lambda one: one.to(one.device, one.dtype, memory_format=order) if one.dim() == 4 else one)


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep cuDNN from rounding convolutions to TF32: its 10 bits alone can change an answer near the boundary."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation mode, and give each module its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Give a model back its values, gradients, modes, memory order and place, whatever is done to it inside."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.data, p.detach().clone(), p.grad) for p in model.parameters()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for parameter, data, kept, gradient in parameters:
            parameter.grad = None  # it may lie elsewhere by now
            parameter.data = data.copy_(kept)
            parameter.grad = gradient
        for module, name, buffer, kept in buffers:
            buffer.detach().copy_(kept)
            module._buffers[name] = buffer
        for module, training in modes:
            module.training = training


@contextmanager
def measuring(model: nn.Module) -> Iterator[torch.device]:
    """Put the model into eval mode and full float32, and back; the value is the device it lives on."""
    with in_eval_mode(model), full_float32():
        yield device_of(model)


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """Leave random numbers as they were, torch's, numpy's and Python's: what is drawn afterwards is as without this."""
    python, other = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(other)


def seed_draws(seed: int) -> None:
    """Let all random numbers follow from a seed, those of networks that draw by numpy or Python too."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # numpy takes no more


def draws_so_far(device: torch.device) -> tuple[object, ...]:
    """Return what is another as soon as a random number was drawn: torch's, numpy's or Python's."""
    on_device = [torch.cuda.get_rng_state(device).tolist()] if device.type == "cuda" else []
    return (torch.get_rng_state().tolist(), *on_device, repr(np.random.get_state(legacy=False)), random.getstate())
