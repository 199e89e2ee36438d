"""Vicinity risk minimisation: the loss of a draw from the neighbourhood of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hardener.config.schema import Recipe
from hardener.losses.soft_cross_entropy import soft_cross_entropy
from hardener.methods._agreement import jensen_shannon, squared_difference
from hardener.methods._logits import wide_logits, widened
from hardener.methods._weight_perturbation import WeightClimb
from hardener.methods.method import Method
from hardener.vicinity.chain import Learner, Link, chain_of
from hardener.vicinity.prior import Prior
from hardener.vicinity.worst_point import WorstPoint


@dataclass(frozen=True)
class _Draw:
    """A draw from the neighbourhood of a minibatch.

    Attributes:
        images, soft_labels: (N, C, H, W) and (N, K).
        weights: (N,), what each image counts, as its labels say before a law smooths them; None: all alike.
        begun: (N, C, H, W), where the climb started, if its answer there is to be the same; None: it need not be.
    """

    images: Tensor
    soft_labels: Tensor
    weights: Tensor | None
    begun: Tensor | None


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
    prior: Prior | None

    def __init__(
        self, num_classes: int, links: Sequence[Link] = (), *, beta_max: float = 10.0, learn_beta: bool = True
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.links = tuple(links)
        self.can_step_up = any(link.entry.climbs for link in links)
        self.progression = self._climb
        self.prior = None
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
        return None if self._climb is None else self._climb.share * self._climb.eps

    @property
    def eps_share(self) -> float:
        """Share of the recipe's eps that the climb has at this step."""
        return 1.0 if self._climb is None else self._climb.share

    @eps_share.setter
    def eps_share(self, share: float) -> None:
        self._change_climbs(share=share)

    def mark(self, done: float) -> None:
        """Let the climb know how far the run is; see `Method.mark`."""
        if self.progression is not None:
            self._change_climbs(done=done)

    def remember(self, images: int, planes: Sequence[int]) -> None:
        """Make room for what the climb keeps of each image; see `Method.remember`."""
        if self.progression is not None and self.progression.origin == "prior":
            self.prior = Prior(images, planes)

    def meet(self, places: Tensor) -> None:
        """Let the climb know around which images it starts; see `Method.meet`."""
        if self.prior is not None:
            self.prior.places = places

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Climb from noise inside, and keep nothing of what it comes to; see `Method.forgetting`."""
        prior, self.prior = self.prior, None
        try:
            with super().forgetting():
                yield
        finally:
            self.prior = prior

    @property
    def _climb(self) -> WorstPoint | None:
        """The climb as it is at this step."""
        return next((link.draw for link in self.links if link.entry.climbs), None)

    def _change_climbs(self, **settings: float) -> None:
        self.links = tuple(
            replace(link, draw=replace(link.draw, **settings)) if link.entry.climbs else link for link in self.links
        )

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of one draw around a minibatch; see `Method.loss`.

        One backward pass through it gives the gradients for the network and for beta. With `awp_gamma` the loss is
        that at weights moved up the same draw's loss; `after_backward` puts them back.
        """
        drawn = self._draw(self.links, model, images, labels)

        def loss_of_draw() -> Tensor:
            logits = model(drawn.images)
            loss = soft_cross_entropy(logits, drawn.soft_labels, drawn.weights)
            return loss if drawn.begun is None else loss + self._disagreement(model, logits, drawn)

        return self._weights.loss(model, loss_of_draw, gamma=self.awp_gamma)

    def _disagreement(self, model: nn.Module, logits: Tensor, drawn: _Draw) -> Tensor:
        """Return what the answers at both ends of the climb lie apart, weighed; a scalar."""
        climb = self._climb
        assert climb is not None, "only a climb has two ends"
        assert drawn.begun is not None, "there is no start to compare with"
        apart = squared_difference if climb.agreement_by == "squared" else jensen_shannon
        losses = apart(widened(logits), wide_logits(model, drawn.begun))
        if drawn.weights is not None:
            losses = drawn.weights * losses
        return climb.agreement_now * losses.mean()

    def after_backward(self) -> None:
        """Put back the weights that a perturbation moved."""
        self._weights.put_back()

    def clean_loss(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the label law alone, on the images as they are: what the reference code's beta climbs."""
        drawn = self._draw(self._labels_alone, model, images, labels)
        return soft_cross_entropy(model(images), drawn.soft_labels, drawn.weights)

    @torch.no_grad()
    def target_mass(self) -> Tensor:
        """Return the mean label mass left on the true class, averaged over classes, before mixup; a scalar."""
        if not any(link.entry.smooths for link in self.links):
            return super().target_mass()
        beta = self._vector()
        labels = torch.eye(self.num_classes, device=None if beta is None else beta.device)
        for link in self.links:
            if link.entry.smooths:
                labels = link.draw.mean(labels, beta)
        return labels.diagonal().mean()

    @torch.no_grad()
    def bound_beta(self) -> None:
        """Bring beta back into its range; called after each of its steps."""
        if self.beta is not None and self._law is not None:
            self.beta.clamp_(*self._law.bounds(self._beta_max))

    def _vector(self) -> Tensor | None:
        return self.fixed_beta if self.beta is None else self.beta

    def _draw(self, links: Iterable[Link], model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> _Draw:
        soft_labels = one_hot(labels, self.num_classes).float()
        weights, begun = self.weights_of(soft_labels), None
        offered = {"model": model, "beta": self._vector(), "prior": self.prior}
        for link in links:
            given = soft_labels
            if link.entry.climbs and link.draw.agreement_now > 0:
                begun, images = link.draw.ends(images, soft_labels, model=model, prior=self.prior)
            else:
                images, soft_labels = link(images, soft_labels, offered)
            if soft_labels is not given and not link.entry.smooths:  # mixed, and not passed on as they came
                weights = self.weights_of(soft_labels)
        return _Draw(images, soft_labels, weights, begun)
