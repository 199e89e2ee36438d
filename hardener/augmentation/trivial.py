"""TrivialAugment: one operation of any strength for each image."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.augmentation._draw import numbers
from hardener.augmentation._operations import Space, Span, apply
from hardener.config.section import Section, Share

WIDE: Space = {
    "identity": Span(),
    "shear_x": Span(0.0, 0.99, signed=True),
    "shear_y": Span(0.0, 0.99, signed=True),
    "translate_x": Span(0.0, 1.0, signed=True),
    "translate_y": Span(0.0, 1.0, signed=True),
    "rotate": Span(0.0, 135.0, signed=True),
    "brightness": Span(0.0, 0.99, signed=True),
    "color": Span(0.0, 0.99, signed=True),
    "contrast": Span(0.0, 0.99, signed=True),
    "sharpness": Span(0.0, 0.99, signed=True),
    "posterize": Span(8.0, 2.0),
    "solarize": Span(1.0, 0.0),
    "autocontrast": Span(),
    "equalize": Span(),
}
"""The wide space of the source; translations reach `_FARTHEST` pixels."""
_FARTHEST = 32


class Settings(Section):
    """`strength`: the share of each operation's span that is used; 1 in the paper."""

    strength: Share = 1.0


def trivial_augment(images: Tensor, *, strength: float, generator: torch.Generator | None = None) -> Tensor:
    """Let each image through one operation, drawn evenly, of a strength that is drawn evenly.

    Args:
        images: (N, C, H, W) in [0, 1]; C is 1 or 3. Gray images have no operation on colour.
        strength: the largest, in [0, 1].
        generator: of the draws; None: the CPU's.
    Returns:
        (N, C, H, W) in [0, 1]; no host sync.
    Note: strengths are continuous, where the paper has 31 steps; what moves pixels is bilinear, not nearest.
    Source: Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021,
        Algorithm 1 and Table 1 (wide).
    """
    height, width = images.shape[2:]
    reach = {"translate_x": min(_FARTHEST / width, 1.0), "translate_y": min(_FARTHEST / height, 1.0)}
    space = {name: Span(0.0, reach[name], signed=True) if name in reach else span for name, span in WIDE.items()}
    return apply(images, space, numbers(len(images), generator, 0.0, strength), generator)
