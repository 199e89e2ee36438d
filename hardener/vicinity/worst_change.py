"""The worst of a few random points of a threat without a norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from hardener.config.section import Section
from hardener.errors import HardenerError
from hardener.threats import change_of


class Settings(Section):
    """The worst of `k` random points of `threat`, such as `spatial` or `camera`, in the `ranges` that are given."""

    threat: str = "spatial"
    k: PositiveInt = 5
    ranges: dict[str, Any] = Field(default={})

    @model_validator(mode="after")
    def _check_threat(self) -> Self:
        try:
            change_of(self.threat, self.ranges)
        except HardenerError as error:
            raise ValueError(str(error)) from None
        return self


@dataclass(frozen=True)
class WorstChange:
    """Of `k` random points of a threat, the one with the largest loss, image by image.

    Note: the model keeps the mode that it is in, so batch statistics of the k passes go into its running averages too.
    Source: Engstrom et al., "Exploring the Landscape of Spatial Robustness", ICML 2019, section 5 (robust optimisation
        with the worst of k).
    """

    threat: str
    k: int = 5
    ranges: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def __call__(
        self, images: Tensor, soft_labels: Tensor, *, model: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the changed images, (N, C, H, W) in the box, and the labels as they came.

        Args:
            images: (N, C, H, W).
            soft_labels: (N, K), rows sum to 1.
            model: images -> logits (N, K).
        """
        change = change_of(self.threat, self.ranges)
        worst, largest = images, torch.full((len(images),), -torch.inf, device=images.device)
        for _ in range(self.k):
            changed = change.apply(images, change.random_points(images)).to(images.dtype)
            if self.k == 1:
                return changed, soft_labels
            losses = -(soft_labels * model(changed).float().log_softmax(dim=1)).sum(dim=1)
            better = losses > largest
            worst = torch.where(better.view(-1, 1, 1, 1), changed, worst)
            largest = torch.maximum(losses, largest)
        return worst, soft_labels
