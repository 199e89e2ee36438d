"""What the measurements of this room share: the model's state meanwhile, batches, gradients, a curve's points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hardener.config.evaluation_record import CurvePoint
from hardener.errors import HardenerError
from hardener.evaluation.interval import clopper_pearson
from hardener.evaluation.robust_accuracy import _full_float32, _in_eval_mode, as_float, device_of


@contextmanager
def measuring(model: nn.Module) -> Iterator[torch.device]:
    """Put the model into eval mode and full float32, and back; the value is the device it lives on."""
    with _in_eval_mode(model), _full_float32():
        yield device_of(model)


def batches(images: Tensor, labels: Tensor, batch_size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield float images in [0, 1] and their labels on `device`, one batch there at a time.

    Raises:
        HardenerError: there are no images.
    """
    if len(images) == 0:
        raise HardenerError("there are no images to evaluate.")
    for piece, own in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        yield as_float(piece.to(device)), own.to(device)


def curve_point(parameter: float, right: int, samples: int) -> CurvePoint:
    """Return `right` of `samples` as a share with its exact 95 % interval."""
    return CurvePoint(parameter=parameter, accuracy=right / samples, interval=clopper_pearson(right, samples))


def gradient_of(values: Tensor, inputs: Tensor, *, keep_graph: bool = False) -> Tensor:
    """Return the gradient of the sum of `values` with respect to `inputs`, shaped like them.

    It is 0 where the values do not depend on the inputs through autograd (rounding in numpy, a detached tensor).
    """
    if not values.requires_grad:
        return torch.zeros_like(inputs)
    (found,) = torch.autograd.grad(values.sum(), inputs, retain_graph=keep_graph, allow_unused=True)
    return torch.zeros_like(inputs) if found is None else found
