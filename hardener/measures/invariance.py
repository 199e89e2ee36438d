"""Accuracy under changes that leave an image's class as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as change

from hardener.config.evaluation_record import InvarianceCurve
from hardener.measures._common import batches, curve_point
from hardener.measures.run import Case, Found
from hardener.runtime.answers import chosen_class
from hardener.runtime.model_state import measuring


@dataclass(frozen=True)
class Invariance:
    """A change with one parameter; at `identity` it is none.

    Attributes:
        parameters: ascending, `identity` among them.
        apply: (N, C, H, W) in [0, 1] and a parameter -> the same shape and range.
    """

    name: str
    unit: str
    identity: float
    parameters: tuple[float, ...]
    apply: Callable[[Tensor, float], Tensor]


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Turn counter-clockwise about the centre, bilinear; the corners that come in are black."""
    turned: Tensor = change.rotate(images, degrees, interpolation=InterpolationMode.BILINEAR)
    return turned


def brighten(images: Tensor, factor: float) -> Tensor:
    """Multiply every value by `factor` >= 0 and clip."""
    brighter: Tensor = change.adjust_brightness(images, factor)
    return brighter


def stretch_contrast(images: Tensor, factor: float) -> Tensor:
    """Multiply every value's distance from its image's mean luma by `factor` >= 0 and clip."""
    stretched: Tensor = change.adjust_contrast(images, factor)
    return stretched


def fade_to_gray(images: Tensor, share: float) -> Tensor:
    """Blend colour images with their luma (ITU-R 601); at `share` 1 no colour is left."""
    faded: Tensor = change.adjust_saturation(images, 1 - share)
    return faded


def shift(images: Tensor, share: float) -> Tensor:
    """Move right by `share` of the width and down by `share` of the height, bilinear; what comes in is black."""
    height, width = images.shape[-2:]
    return _affine(images, translate=(share * width, share * height))


def zoom(images: Tensor, factor: float) -> Tensor:
    """Enlarge about the centre by `factor` > 0, bilinear; the border that comes in below 1 is black."""
    return _affine(images, scale=factor)


def _affine(images: Tensor, *, translate: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> Tensor:
    moved: Tensor = change.affine(
        images,
        angle=0.0,
        translate=list(translate),
        scale=scale,
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    return moved


_FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
INVARIANCES = (
    Invariance("rotation", "degrees", 0.0, tuple(float(degrees) for degrees in range(-45, 46, 5)), rotate),
    Invariance("brightness", "factor", 1.0, _FACTORS, brighten),
    Invariance("contrast", "factor", 1.0, _FACTORS, stretch_contrast),
    Invariance("gray", "share of gray", 0.0, (0.0, 0.25, 0.5, 0.75, 1.0), fade_to_gray),
    Invariance("translation", "share of the size", 0.0, tuple(step / 20 for step in range(-5, 6)), shift),
    Invariance("scale", "factor", 1.0, tuple(tenths / 10 for tenths in range(7, 15)), zoom),
)


def measure(case: Case) -> Found:
    """Measure accuracy along each change."""
    with case.reporter.track("invariances", len(case.pixels), "images") as done:
        return Found(
            measure_invariances(case.model, case.pixels, case.labels, batch_size=case.batch_size, on_done=done)
        )


@torch.no_grad()
def measure_invariances(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
) -> list[InvarianceCurve]:
    """Measure accuracy along each change of `INVARIANCES`; all images get the same parameter at once.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); put into eval mode meanwhile.
        images: (N, C, H, W), float in [0, 1] or uint8; C is 1 or 3.
        labels: (N,) int64.
        batch_size: images at once.
        generator: not used; nothing is random.
        on_done: called with a number of images as they are dealt with; N in all.
    Returns:
        A curve a change. Gray images have no colour to lose, so there is no curve `gray` for them.
        The point at a curve's `identity` is the clean accuracy: there the images go in untouched.
    Raises:
        HardenerError: there are no images.
    Note: rotation, brightness, contrast and gray are the changes that Cheng et al., "Self-Progressing Robust
        Training", AAAI 2021, test for, and are defined as in the report of the served model.
    """
    asked = [one for one in INVARIANCES if one.name != "gray" or images.shape[1] != 1]
    right = {one.name: [0] * len(one.parameters) for one in asked}
    with measuring(model) as device:
        for clean, truth in batches(images, labels, batch_size, device):
            for one in asked:
                for place, parameter in enumerate(one.parameters):
                    changed = clean if parameter == one.identity else one.apply(clean, parameter)
                    right[one.name][place] += int(chosen_class(model(changed)).eq(truth).sum())
            if on_done is not None:
                on_done(len(clean))
    return [
        InvarianceCurve(
            name=one.name,
            unit=one.unit,
            identity=one.identity,
            samples=len(images),
            points=[
                curve_point(parameter, count, len(images))
                for parameter, count in zip(one.parameters, right[one.name], strict=True)
            ],
        )
        for one in asked
    ]
