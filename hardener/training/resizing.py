"""Progressive resizing: a run that begins on smaller images, which cost less, and ends on those of its own size."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from hardener.config.schema import Recipe, Resize
from hardener.data.loader import ImageShape
from hardener.errors import HardenerError
from hardener.evaluation.other_size import fault_at
from hardener.models.normalize import ImageClassifier

STEP = 8
"""Sides are multiples of it where they are not whole: few sizes, and fit for most networks."""


def size_in(resize: Resize, epoch: int, epochs: int, height: int, width: int) -> tuple[int, int]:
    """Return height and width of the images of an epoch, counted from 0; it depends on nothing else."""
    grown = min(epoch / (resize.full * epochs), 1.0)
    share = resize.first + (1 - resize.first) * grown
    return _side(share, height), _side(share, width)


def _side(share: float, whole: int) -> int:
    return min(max(STEP * round(share * whole / STEP), STEP), whole)


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images, (N, C, H, W) in [0, 1], reduced to height and width; averaged, so that none alias."""
    if images.shape[2:] == size:
        return images
    return interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False).clamp(0.0, 1.0)


def check_smallest(classifier: ImageClassifier, recipe: Recipe, shape: ImageShape) -> None:
    """See that a network takes the images that a run begins on.

    Raises:
        HardenerError: it does not.
    """
    if recipe.resize is None:
        return
    height, width = size_in(recipe.resize, 0, recipe.epochs, shape.height, shape.width)
    fault = fault_at(classifier, ImageShape(height, width, shape.channels, shape.rule))
    if fault is not None:
        raise HardenerError(
            f"resize.first={recipe.resize.first:g} begins on images of {height}x{width}, which the network does not "
            f"take: {fault}. Leave resize out, or choose a larger first."
        )
