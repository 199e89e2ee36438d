"""Consistency: the same answer under noise, which is what a smoothed classifier is certified by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from hardener.config.schema import Recipe
from hardener.config.section import NotNegative, Section
from hardener.losses.cross_entropy import cross_entropy
from hardener.methods._logits import wide_logits
from hardener.methods._weight_perturbation import WeightClimb
from hardener.methods.method import Method
from hardener.vicinity.gaussian import gaussian


class Settings(Section):
    """Consistency under the noise of `vicinity.noise_sigma`: `copies` of each image, and what the terms weigh.

    `weight` is of the divergence of each copy's answer from their mean, `entropy` of that mean's entropy.
    """

    copies: Annotated[int, Field(ge=2)] = 2
    weight: NotNegative = 10.0
    entropy: NotNegative = 0.5


def faults(recipe: Recipe) -> Iterator[str]:
    """Yield what the recipe lacks, and what this method would pass over in silence."""
    others = [f"vicinity.{key}" for key in recipe.vicinity.on() if key != "noise_sigma"]
    if others:
        yield f"method consistency compares noisy copies of the images as they are: no {', '.join(others)}"
    if recipe.vicinity.noise_sigma == 0:
        yield "method consistency needs vicinity.noise_sigma, such as vicinity.noise_sigma=0.25"


class Consistency(Method):
    """Mean over noisy copies x_i of CE(f(x_i), y) + w KL(F(x) || f(x_i)), and h H(F(x)); F is the mean of f(x_i).

    Args:
        noise_sigma: std of the noise, in [0, 1] pixels, > 0; what the network is to be certified with.
        copies: m, >= 2; each costs a pass, and all go through the network as one batch.
        weight: w, >= 0; larger: larger certified radii, less accuracy.
        entropy: h, >= 0; it keeps the mean from becoming uniform where w is large.
    Source: Jeong, Shin, "Consistency Regularization for Certified Robustness of Smoothed Classifiers", NeurIPS 2020;
        the defaults are those of its published code.
    """

    def __init__(self, *, noise_sigma: float, copies: int = 2, weight: float = 10.0, entropy: float = 0.5) -> None:
        super().__init__()
        self.noise_sigma, self.copies = noise_sigma, copies
        self.weight, self.entropy = weight, entropy
        self._weights = WeightClimb()

    @classmethod
    def build(cls, recipe: Recipe, num_classes: int) -> Self:
        """Return the method as a recipe describes it; see `Method.build`."""
        return cls(noise_sigma=recipe.vicinity.noise_sigma, **dict(recipe.own(Settings)))

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a minibatch; see `Method.loss`."""
        several = images.repeat(self.copies, 1, 1, 1)
        noisy, repeated = gaussian(several, labels.repeat(self.copies), noise_sigma=self.noise_sigma)

        def loss_of_copies() -> Tensor:
            logits = wide_logits(model, noisy)
            each = logits.log_softmax(dim=1).view(self.copies, len(images), -1)
            mean = torch.logsumexp(each, dim=0) - math.log(self.copies)
            divergences = (mean.exp() * (mean - each)).sum(dim=2).mean(dim=0)
            entropies = -(mean.exp() * mean).sum(dim=1)
            wrong = cross_entropy(logits, repeated).view(self.copies, -1).mean(dim=0)
            return self.mean(wrong + self.weight * divergences + self.entropy * entropies, labels)

        return self._weights.loss(model, loss_of_copies, gamma=self.awp_gamma)

    def after_backward(self) -> None:
        """Put back the weights that a perturbation moved."""
        self._weights.put_back()
