"""TRADES: accuracy on the image itself, and the same answer all around it."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from hardener.config.schema import Recipe
from hardener.config.section import Positive, Section
from hardener.geometry import fit_box, norm_geometry
from hardener.losses.cross_entropy import cross_entropy
from hardener.losses.soft_cross_entropy import soft_cross_entropy
from hardener.methods._logits import wide_logits
from hardener.methods._weight_perturbation import WeightClimb
from hardener.methods.method import Method
from hardener.runtime.model_state import in_eval_mode
from hardener.vicinity.worst_point import Settings as Ball

START_SIGMA = 0.001  # the divergence is 0 at the image, and so is its gradient: the search starts beside it


class Settings(Section):
    """TRADES: `weight` (1/lambda in the paper) of the KL term, whose ball search `vicinity.adversarial` describes."""

    weight: Positive = 6.0


class Trades(Method):
    """Cross-entropy on clean images, and what an adversary can turn of the answer: CE(f(x), y) + w KL(f(x) || f(x')).

    x' is where the divergence is largest, as far as `steps` projected gradient steps find it, which know no label.

    Args:
        norm, eps: the ball around each image.
        steps: gradient steps of the search, >= 1; each costs a forward and a backward pass.
        step_size: a fraction of the pixel range; None: 2.5 eps / steps, 2/255 for ten steps in 8/255.
        weight: w > 0, 1 / lambda in the paper; larger: more robust, less accurate.
    Note: the published code climbs in l2 with steps of 2 eps / steps, starts outside the box at its border, and runs
        the clean images twice for the two terms; here ball and box hold the start too, and one pass serves both.
        As there, the search sees the model in evaluation mode, and the two losses in training mode, with the batch
        statistics of clean and moved images apart.
    Source: Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML 2019.
    """

    eps: float

    def __init__(
        self, *, norm: str, eps: float, steps: int = 10, step_size: float | None = None, weight: float = 6.0
    ) -> None:
        super().__init__()
        self.norm = norm
        self.eps = eps
        self.attack_steps = steps
        self.step_size = 2.5 * eps / steps if step_size is None else step_size
        self.weight = weight
        self._weights = WeightClimb()

    @classmethod
    def build(cls, recipe: Recipe, num_classes: int) -> Self:
        """Return the method as a recipe describes it; see `Method.build`."""
        ball, weight = recipe.vicinity.own(Ball), recipe.own(Settings).weight
        return cls(norm=ball.norm, eps=ball.eps, steps=ball.steps, step_size=ball.step_size, weight=weight)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a minibatch; see `Method.loss`."""
        moved = self.search(model, images)

        def loss_of_pair() -> Tensor:
            clean, other = wide_logits(model, images), wide_logits(model, moved)
            divergences = kl_div(
                other.log_softmax(dim=1), clean.log_softmax(dim=1), reduction="none", log_target=True
            ).sum(dim=1)
            return self.mean(cross_entropy(clean, labels) + self.weight * divergences, labels)

        return self._weights.loss(model, loss_of_pair, gamma=self.awp_gamma)

    def search(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return x', (N, C, H, W) in ball and box, detached. Neither the mode of a module nor any `.grad` changes."""
        ball = norm_geometry(self.norm)
        with in_eval_mode(model):
            # with a graph, for nothing: in some releases a pass without one leaves autocast weights that have none
            answer = wide_logits(model, images).detach().softmax(dim=1)
            delta = fit_box(images, ball.project(START_SIGMA * torch.randn_like(images), self.eps))
            for _ in range(self.attack_steps):
                inputs = (images + delta).requires_grad_()
                # KL(p || q) is this less the entropy of p, which does not depend on the inputs
                (gradient,) = torch.autograd.grad(soft_cross_entropy(model(inputs), answer), inputs)
                delta = ball.project(delta + self.step_size * ball.climbing_step(gradient, self.eps), self.eps)
                delta = fit_box(images, delta)
        return (images + delta).detach()

    def after_backward(self) -> None:
        """Put back the weights that a perturbation moved."""
        self._weights.put_back()
