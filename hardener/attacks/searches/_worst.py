"""The worst point that a search has come to, image by image."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._queries import margins
from hardener.threats import Change, shape_of


class Worst:
    """Points (N, P) and their margins (N,); an image whose point fools the model is asked about no more."""

    def __init__(self, model: Classifier, images: Tensor, labels: Tensor, change: Change) -> None:
        self.model, self.images, self.labels, self.change = model, images, labels, change
        self.points = torch.full((len(images), change.values(shape_of(images))), 0.5, device=images.device)
        self.margins = torch.full((len(images),), -torch.inf, device=images.device)

    def standing(self) -> Tensor:
        """Return which images no point has fooled the model on, (n,) int64."""
        return self.margins.le(0).nonzero().squeeze(1)

    @torch.no_grad()
    def offer(self, where: Tensor, points: Tensor) -> Tensor:
        """Ask the model about a point of each of these images, keep what is worse, and say which were, (n,) bool."""
        changed = self.change.apply(self.images[where], points)
        found = margins(self.model, changed, self.labels[where]).to(self.margins.dtype)
        better = found > self.margins[where]
        self.points[where[better]], self.margins[where[better]] = points[better], found[better]
        return better
