"""The shapes an attack moves in: one file a norm, each with one value that has the same four functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, cast

from hardener.catalog import resolve
from hardener.threat import NORMS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["NORMS", "Norm", "fit_box", "norm_geometry"]


class Norm(ABC):
    """The ball of a norm around zero. Perturbations are (N, C, H, W), a row an image; sizes are (N,).

    A norm's file writes the four functions that come first. The others are made of them, and written anew where the
    box [0, 1] that images live in changes what is best.
    """

    @abstractmethod
    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        """Return the point of the ball of radius `eps` >= 0, a number or (N, 1, 1, 1), nearest to each `delta`."""

    @abstractmethod
    def random_point(self, images: Tensor, eps: float, generator: torch.Generator | None = None) -> Tensor:
        """Draw one point an image, uniform in the ball of radius `eps`; shaped like `images`."""

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the step of size 1 along which a linear function with this gradient rises most; 0 where it is 0."""

    @abstractmethod
    def size(self, delta: Tensor) -> Tensor:
        """Return the norm of each image's delta, (N,)."""

    def project_in_box(self, images: Tensor, delta: Tensor, eps: float | Tensor) -> Tensor:
        """Return a point near `delta` inside the ball of radius `eps` for which `images` plus it lies in [0, 1]."""
        return fit_box(images, self.project(delta, eps))

    def climbing_step(self, gradient: Tensor, eps: float) -> Tensor:
        """Return a step of size 1 for an ascent in a ball of radius `eps`: the steepest, unless it moves too little."""
        return self.steepest(gradient)

    def farthest_in_box(self, images: Tensor, gradient: Tensor, eps: float) -> Tensor:
        """Return the step of size `eps` at most inside the box that follows a linear function with this gradient."""
        return fit_box(images, eps * self.steepest(gradient))


def norm_geometry(norm: str) -> Norm:
    """Return the geometry of a norm.

    Raises:
        HardenerError: unknown norm.
    """
    return cast(Norm, resolve(NORMS, norm, "norm"))


def fit_box(images: Tensor, delta: Tensor) -> Tensor:
    """Shorten `delta`, pixel by pixel, until `images + delta` lies in [0, 1]. Never lengthens it."""
    return (images + delta).clamp(0, 1) - images
