"""Adversarial training for free: one backward pass serves the network and the perturbation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from hardener.config.schema import Recipe
from hardener.geometry import fit_box, norm_geometry
from hardener.losses.cross_entropy import cross_entropy
from hardener.methods._logits import wide_logits
from hardener.methods._own_ball import ball_faults
from hardener.methods.method import Method
from hardener.vicinity.worst_point import Settings as Ball


def faults(recipe: Recipe) -> Iterator[str]:
    """Yield what the recipe lacks, and what this method would pass over in silence."""
    yield from ball_faults(recipe)
    ball = recipe.vicinity.find(Ball)
    if ball is not None and ball.steps > 1:
        yield "method free-at replays minibatches instead of taking steps: set theta_steps"
    if recipe.accumulate > 1:
        yield "method free-at keeps a perturbation a minibatch: it takes no accumulate above 1"
    if recipe.awp is not None:
        yield "method free-at takes no awp: its one backward pass is for the weights as they are"


class FreeAt(Method):
    """Cross-entropy at a perturbation that climbs by the same backward pass that the network descends by.

    The loop replays each minibatch; the perturbation, a row an image of a minibatch, lives on through replays and
    minibatches: to each new minibatch it is where the one before has left it.

    Args:
        norm, eps: the ball that the perturbation stays in.
        step_size: of its climb, a fraction of the pixel range; None: eps.

    The perturbation is part of the state dict. It is no buffer, because processes that train together would be given
    that of the first; each keeps its own. It takes its shape from the minibatches, so one of any size can be loaded.

    Note: the gradient is that at the pixels in the box. The published code for ImageNet differentiates through the
        cut to the box, where a pixel beyond its border has none and stays there until another image comes.
    Source: Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019.
    """

    eps: float
    attack_steps = 1  # each replay climbs once
    divisible = False  # pieces of one minibatch would share rows

    def __init__(self, *, norm: str, eps: float, step_size: float | None = None) -> None:
        super().__init__()
        self.norm = norm
        self.eps = eps
        self.step_size = eps if step_size is None else step_size
        self.delta = torch.zeros(0)
        self._inputs: Tensor | None = None

    @classmethod
    def build(cls, recipe: Recipe, num_classes: int) -> Self:
        """Return the method as a recipe describes it; see `Method.build`."""
        ball = recipe.vicinity.own(Ball)
        return cls(norm=ball.norm, eps=ball.eps, step_size=ball.step_size)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a minibatch at the perturbation of its first rows; see `Method.loss`."""
        self._fit(images)
        self._inputs = (images + fit_box(images, self.delta[: len(images)])).detach().requires_grad_()
        return self.mean(cross_entropy(wide_logits(model, self._inputs), labels), labels)

    @torch.no_grad()
    def after_backward(self) -> None:
        """Let the perturbation climb; nothing happens where no backward pass was made since the last time."""
        inputs, self._inputs = self._inputs, None
        if inputs is None or inputs.grad is None:
            return
        ball, used = norm_geometry(self.norm), len(inputs)
        climbed = ball.project(self.delta[:used] + self.step_size * ball.climbing_step(inputs.grad, self.eps), self.eps)
        self.delta = climbed if used == len(self.delta) else torch.cat([climbed, self.delta[used:]])

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Leave the perturbation as it is inside; see `Method.forgetting`."""
        delta = self.delta
        try:
            with super().forgetting():
                yield
        finally:
            self.delta, self._inputs = delta, None

    def get_extra_state(self) -> Tensor:
        """Return the perturbation, for the state dict."""
        return self.delta

    def set_extra_state(self, state: Tensor) -> None:
        """Take up a perturbation of a state dict; it goes to the images' device with the next of them."""
        self.delta = state

    def _fit(self, images: Tensor) -> None:
        """Give the perturbation a row for each image, zero where it has none of its size."""
        self.delta = self.delta.to(images)
        if self.delta.shape[1:] != images.shape[1:]:
            self.delta = torch.zeros_like(images)
        elif len(self.delta) < len(images):
            self.delta = torch.cat([self.delta, torch.zeros_like(images[len(self.delta) :])])
