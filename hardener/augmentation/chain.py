"""Augmentations one after the other, as a recipe switches them on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from hardener import augmentation
from hardener.config.section import Section, key_of


class Augmentation(Protocol):
    """Images (N, C, H, W) in [0, 1] -> the same, changed; its settings are in it already."""

    def __call__(self, images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw for each image on its own."""


def augmentations_of(on: Mapping[str, Any]) -> tuple[Augmentation, ...]:
    """Return each augmentation that is on, in the catalog's order.

    Args:
        on: key -> settings, a section or a value, as `Augment.on` of the recipe gives them.
    """
    found = []
    for name, entry in augmentation.AUGMENTATIONS.items():
        key = key_of(name, entry)
        if key in on:
            value = on[key]
            found.append(partial(entry.load(), **(dict(value) if isinstance(value, Section) else {key: value})))
    return tuple(found)
