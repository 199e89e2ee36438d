"""What the measures share: batches, a curve's points."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hardener.config.evaluation_record import CurvePoint
from hardener.errors import HardenerError
from hardener.runtime.model_state import as_float
from hardener.statistics.interval import clopper_pearson


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
