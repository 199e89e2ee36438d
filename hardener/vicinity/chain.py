"""Vicinities one after the other, as a recipe switches them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from hardener import vicinity
from hardener.config.section import Section, key_of
from hardener.vicinity import VicinityEntry


class Smoother(Protocol):
    """What a vicinity that smooths labels says besides its draw."""

    def mean(self, soft_labels: Tensor, beta: Tensor | None) -> Tensor:
        """Return the mean of the labels drawn, (N, K); `beta`: the vector that is learned, None without one."""


class Learner(Smoother, Protocol):
    """What a vicinity with a learned vector says besides its draw."""

    def start(self, num_classes: int) -> Tensor | None:
        """Return the vector before training, (K,); None: these settings learn nothing."""

    def bounds(self, most: float) -> tuple[float, float]:
        """Return the least and the largest entry that the vector may have, given the recipe's `beta.max`."""


@dataclass(frozen=True)
class Link:
    """A vicinity with its settings.

    Attributes:
        draw: what draws, with its settings in it: a partial function, or an instance of the class that it is.
        entry: its line of the catalog.
    """

    draw: Any
    entry: VicinityEntry

    def __call__(self, images: Tensor, soft_labels: Tensor, offered: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Return a draw around images (N, C, H, W) and soft labels (N, K); `offered`: name -> what it may need."""
        drawn: tuple[Tensor, Tensor] = self.draw(
            images, soft_labels, **{name: offered[name] for name in self.entry.needs}
        )
        return drawn


def chain_of(on: Mapping[str, Any]) -> tuple[Link, ...]:
    """Return a link for each vicinity that is on, in the catalog's order.

    Args:
        on: key -> settings, a section or a number, as `Vicinity.on` of the recipe gives them.
    """
    return tuple(
        Link(_with_settings(entry, key, on[key]), entry)
        for name, entry in vicinity.VICINITIES.items()
        if (key := key_of(name, entry)) in on
    )


def _with_settings(entry: VicinityEntry, key: str, value: Any) -> Any:
    settings = dict(value) if isinstance(value, Section) else {key: value}
    draws = entry.load()
    return draws(**settings) if isinstance(draws, type) else partial(draws, **settings)
