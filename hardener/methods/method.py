"""What every method of training is: a module that turns a minibatch into the loss to minimise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from hardener.config.schema import Recipe
from hardener.config.section import Section
from hardener.vicinity.worst_point import WorstPoint


class Method(nn.Module):
    """A method of training; its state, such as SPROUT's learned vector, is part of a checkpoint.

    Attributes:
        beta: the vector that ascends on the loss while the network descends, or None.
        attack_steps: gradient steps of the attack that it trains against; 0: it trains against none.
        eps: radius of that attack at this step, a fraction of the pixel range in linf; None: there is none.
        eps_share: the share of the recipe's eps that the attack has at this step, in [0, 1].
        progression: the attack whose `schedule` says how `eps_share` grows over the run; None: it is 1 throughout.
        can_step_up: whether `attack_steps` may be raised on the way, which is the answer to a collapse.
        divisible: whether a minibatch may be cut into pieces with a pass each.
        awp_gamma: size of the adversarial weight perturbation, relative to each layer's weights; 0: none. May change
            from step to step. `free-at` takes none.
        class_weights: (K,), what an image of each class counts in the loss; None: all count alike.
    """

    beta: nn.Parameter | None
    class_weights: Tensor | None
    attack_steps: int = 0
    eps: float | None = None
    eps_share: float = 1.0
    progression: WorstPoint | None = None
    can_step_up: bool = False
    divisible = True

    def __init__(self) -> None:
        super().__init__()
        self.beta = None
        self.awp_gamma = 0.0
        self.register_buffer("class_weights", None, persistent=False)  # it follows from the images

    @classmethod
    def build(cls, recipe: Recipe, num_classes: int) -> Self:
        """Return the method as a checked recipe describes it, on the CPU; `recipe.own` finds its section there."""
        raise NotImplementedError

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a minibatch, a scalar that one backward pass is made through.

        Args:
            model: (N, C, H, W) -> logits (N, K), in training mode.
            images: (N, C, H, W) in [0, 1], augmented.
            labels: (N,) int64.
        """
        raise NotImplementedError

    def clean_loss(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss that `beta` climbs where it takes a step of its own on the clean minibatch."""
        raise NotImplementedError

    def weigh(self, class_weights: Tensor) -> None:
        """Let an image of each class count as much as its entry of (K,) says."""
        self.class_weights = class_weights

    def weights_of(self, labels: Tensor) -> Tensor | None:
        """Return what images count, (N,); None: all alike.

        Args:
            labels: (N,) int64; or (N, K), rows that sum to 1, of images that are mixed of several: those count as their
                parts do. Smoothed labels are none of these: the mass that a smoothing moves is of no image.
        """
        if self.class_weights is None:
            return None
        return self.class_weights[labels] if labels.ndim == 1 else (labels * self.class_weights).sum(dim=1)

    def mean(self, losses: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of one loss an image, (N,), as the images with these labels count."""
        weights = self.weights_of(labels)
        return losses.mean() if weights is None else (weights * losses).mean()

    def after_backward(self) -> None:
        """Take from the backward pass what the method needs besides the network's gradient; before any step."""

    def mark(self, done: float) -> None:
        """Take note that a share `done` of the run, in [0, 1], is done; called before each step."""

    def remember(self, images: int, planes: Sequence[int]) -> None:
        """Make room for what is kept of each training image, if anything is; called once, before the first step.

        Args:
            images: how many there are.
            planes: channels, height, width.
        """

    def meet(self, places: Tensor) -> None:
        """Take note of which training images, (N,) int64, the next call of `loss` gets."""

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Inside, losses leave no trace in the method: nothing is kept of images, and no weights are moved."""
        gamma, self.awp_gamma = self.awp_gamma, 0.0
        try:
            yield
        finally:
            self.awp_gamma = gamma

    def bound_beta(self) -> None:
        """Bring beta back into its range; called after each of its steps."""

    @torch.no_grad()
    def target_mass(self) -> Tensor:
        """Return the mean label mass left on the true class, before mixup; a scalar."""
        return torch.ones(())


def vicinity_faults(recipe: Recipe, *, but: Section | None = None) -> Iterator[str]:
    """Yield what a method that takes images and labels as they are would pass over in silence.

    Args:
        recipe: one that names such a method.
        but: the vicinity that it does take, as the recipe holds it.
    """
    others = [f"vicinity.{key}" for key, settings in recipe.vicinity.on().items() if settings is not but]
    if others:
        yield f"method {recipe.method} takes images and labels as they are: no {', '.join(others)}"
