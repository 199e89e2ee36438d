"""What every method of training is: a module that turns a minibatch into the loss to minimise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Method(nn.Module):
    """A method of training; its state, such as SPROUT's learned vector, is part of a checkpoint.

    Attributes:
        beta: the vector that ascends on the loss while the network descends, or None.
        attack_steps: gradient steps of the attack that it trains against; 0: it trains against none.
        can_step_up: whether `attack_steps` may be raised on the way, which is the answer to a collapse.
        divisible: whether a minibatch may be cut into pieces with a pass each.
        awp_gamma: size of the adversarial weight perturbation, relative to each layer's weights; 0: none. May change
            from step to step. `free-at` takes none.
    """

    beta: nn.Parameter | None
    attack_steps: int = 0
    can_step_up: bool = False
    divisible = True

    def __init__(self) -> None:
        super().__init__()
        self.beta = None
        self.awp_gamma = 0.0

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

    def after_backward(self) -> None:
        """Take from the backward pass what the method needs besides the network's gradient; before any step."""

    def bound_beta(self) -> None:
        """Bring beta back into its range; called after each of its steps."""

    @torch.no_grad()
    def target_mass(self) -> Tensor:
        """Return the mean label mass left on the true class, before mixup; a scalar."""
        return torch.ones(())
