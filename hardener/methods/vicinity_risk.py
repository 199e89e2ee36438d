"""Vicinity risk minimisation: the loss of a draw from the neighbourhood of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hardener.config.schema import Recipe
from hardener.losses.soft_cross_entropy import soft_cross_entropy
from hardener.methods._weight_perturbation import WeightClimb
from hardener.methods.method import Method
from hardener.vicinity.chain import Learner, Link, chain_of


class VicinityRisk(Method):
    """Cross-entropy on a draw from a chain of vicinities; holds the vector that one of them may learn, `beta`.

    Args:
        num_classes: K.
        links: the vicinities, in the order that they are drawn in.
        beta_max: how far beta may go; what that means is the law's, see `LabelLaw.bounds`.
        learn_beta: False keeps the vector as it starts, alike for all classes: `beta` is None.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1; vicinity risk minimisation:
        Chapelle et al., "Vicinal Risk Minimization", NeurIPS 2000.
    """

    fixed_beta: Tensor | None

    def __init__(
        self, num_classes: int, links: Sequence[Link] = (), *, beta_max: float = 10.0, learn_beta: bool = True
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.links = tuple(links)
        self.can_step_up = any(link.entry.climbs for link in links)
        self.progression = next((link.draw for link in links if link.entry.climbs), None)
        self._labels_alone = tuple(link for link in links if "beta" in link.entry.needs)
        assert len(self._labels_alone) <= 1, "there is one vector to learn"
        self._law: Learner | None = self._labels_alone[0].draw if self._labels_alone else None
        self._beta_max = beta_max
        self._weights = WeightClimb()
        vector = None if self._law is None else self._law.start(num_classes)
        self.register_buffer("fixed_beta", None if learn_beta else vector, persistent=False)
        if vector is not None and learn_beta:
            self.beta = nn.Parameter(vector)

    @classmethod
    def build(cls, recipe: Recipe, num_classes: int) -> Self:
        """Return the method with the vicinities that the recipe switches on; see `Method.build`."""
        chain = chain_of(recipe.vicinity.on())
        return cls(num_classes, chain, beta_max=recipe.beta.max, learn_beta=recipe.beta.learn)

    @property
    def attack_steps(self) -> int:
        """Gradient steps of the vicinity that climbs; 0 without one."""
        return sum(link.draw.steps for link in self.links if link.entry.climbs)

    @attack_steps.setter
    def attack_steps(self, steps: int) -> None:
        self._change_climbs(steps=steps)

    @property
    def eps(self) -> float | None:  # type: ignore[override]  # it follows from the links
        """Radius of the climb at this step; None without one."""
        return next((link.draw.share * link.draw.eps for link in self.links if link.entry.climbs), None)

    @property
    def eps_share(self) -> float:
        """Share of the recipe's eps that the climb has at this step."""
        return next((link.draw.share for link in self.links if link.entry.climbs), 1.0)

    @eps_share.setter
    def eps_share(self, share: float) -> None:
        self._change_climbs(share=share)

    def mark(self, done: float) -> None:
        """Let the climb know how far the run is; see `Method.mark`."""
        if self.progression is not None:
            self._change_climbs(is_late=self.progression.late(done))

    def _change_climbs(self, **settings: float) -> None:
        self.links = tuple(
            replace(link, draw=replace(link.draw, **settings)) if link.entry.climbs else link for link in self.links
        )

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of one draw around a minibatch; see `Method.loss`.

        One backward pass through it gives the gradients for the network and for beta. With `awp_gamma` the loss is
        that at weights moved up the same draw's loss; `after_backward` puts them back.
        """
        drawn, soft_labels, weights = self._draw(self.links, model, images, labels)
        return self._weights.loss(
            model, lambda: soft_cross_entropy(model(drawn), soft_labels, weights), gamma=self.awp_gamma
        )

    def after_backward(self) -> None:
        """Put back the weights that a perturbation moved."""
        self._weights.put_back()

    def clean_loss(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the label law alone, on the images as they are: what the reference code's beta climbs."""
        _, soft_labels, weights = self._draw(self._labels_alone, model, images, labels)
        return soft_cross_entropy(model(images), soft_labels, weights)

    @torch.no_grad()
    def target_mass(self) -> Tensor:
        """Return the mean label mass left on the true class, averaged over classes, before mixup; a scalar."""
        if self._law is None:
            return super().target_mass()
        beta = self._vector()
        eye = torch.eye(self.num_classes, device=None if beta is None else beta.device)
        return self._law.mean(eye, beta).diagonal().mean()

    @torch.no_grad()
    def bound_beta(self) -> None:
        """Bring beta back into its range; called after each of its steps."""
        if self.beta is not None and self._law is not None:
            self.beta.clamp_(*self._law.bounds(self._beta_max))

    def _vector(self) -> Tensor | None:
        return self.fixed_beta if self.beta is None else self.beta

    def _draw(
        self, links: Iterable[Link], model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return images, soft labels, and what each image counts: as its labels say before a law smooths them."""
        soft_labels = one_hot(labels, self.num_classes).float()
        weights = self.weights_of(soft_labels)
        offered = {"model": model, "beta": self._vector()}
        for link in links:
            images, soft_labels = link(images, soft_labels, offered)
            if "beta" not in link.entry.needs:
                weights = self.weights_of(soft_labels)
        return images, soft_labels, weights
