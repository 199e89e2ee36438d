"""Vicinity risk minimisation: the loss of a draw from the neighbourhood of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hardener.geometry import fit_box, norm_geometry
from hardener.losses.soft_cross_entropy import soft_cross_entropy
from hardener.methods._method import Method
from hardener.methods._weight_perturbation import WeightPerturbation
from hardener.vicinity.dirichlet import (
    budget_concentration,
    dirichlet,
    mean_label,
    paper_concentration,
    printed_concentration,
    reference_concentration,
)
from hardener.vicinity.gaussian import gaussian
from hardener.vicinity.mixup import mixup

SMALLEST_BETA = 1e-3


@dataclass(frozen=True)
class WorstPoint:
    """The adversarial vicinity: of a ball around each image, the point that a climb from a random start ends at.

    With one step of 1.25 eps in linf this is FGSM-RS; with several it is the PGD of adversarial training; with one
    step of eps from a start in 2 eps, and no projection, N-FGSM.

    Attributes:
        norm, eps: the ball.
        steps: gradient steps, >= 1; each costs a forward and a backward pass.
        step_size: a fraction of the pixel range. None: 1.25 eps for one step, 2.5 eps / steps for more; without
            projection eps / steps, so that no number of steps leads farther than (start + 1) eps.
        start: radius of the uniform random start, as a multiple of eps, >= 0.
        project: back into the ball after each step. False: only the box holds the climb.
    Note: the model keeps the mode that it is in, training mode, as in the published codes of the first and the third
        source: batch statistics of the climb go into its running averages too.
    Source: Wong, Rice, Kolter, "Fast is Better than Free: Revisiting Adversarial Training", ICLR 2020, Algorithm 3;
        Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018, Eq. (2.1) of the
        submitted version; de Jorge et al., "Make Some Noise: Reliable and Efficient Single-Step Adversarial Training",
        NeurIPS 2022.
    """

    norm: str
    eps: float
    steps: int = 1
    step_size: float | None = None
    start: float = 1.0
    project: bool = True

    def __call__(self, model: Callable[[Tensor], Tensor], images: Tensor, soft_labels: Tensor) -> Tensor:
        """Return images (N, C, H, W) in the box, detached. Neither the model's mode nor any `.grad` changes."""
        ball, length = norm_geometry(self.norm), self._length()
        delta = fit_box(images, ball.random_point(images, self.start * self.eps))
        for _ in range(self.steps):
            inputs = (images + delta).requires_grad_()
            (gradient,) = torch.autograd.grad(soft_cross_entropy(model(inputs), soft_labels), inputs)
            delta = delta + length * ball.climbing_step(gradient, self.eps)
            if self.project:
                delta = ball.project(delta, self.eps)
            delta = fit_box(images, delta)
        return (images + delta).detach()

    def _length(self) -> float:
        if self.step_size is not None:
            return self.step_size
        if not self.project:
            return self.eps / self.steps
        return 1.25 * self.eps if self.steps == 1 else 2.5 * self.eps / self.steps


class VicinityRisk(Method):
    """Noise, mixup and a label law; holds SPROUT's learned vector `beta`, which the loop lets ascend on the loss.

    Args:
        num_classes: K.
        noise_sigma: std of the Gaussian noise in [0, 1] pixels; 0 switches it off.
        mixup_alpha: of Beta(a, a); 0 switches mixup off.
        law: `one-hot` (labels stay), `uniform` ((1 - m) y + m / K), or a Dirichlet law with a learned beta:
            `budget`, `paper`, `paper-printed`, `reference`.
        sampled: draw labels from the Dirichlet (as published), or use its mean.
        smoothing: m in [0, 1], of `uniform` and `budget`.
        total_concentration: S of `budget`.
        alpha: of `paper` and `paper-printed`.
        scale: s of `reference`.
        beta_max: bound on beta: [1e-3, beta_max] for `paper`, `paper-printed`, `reference` (which start at 1), and
            [-beta_max, beta_max] for the logits of `budget` (which start at 0).
        learn_beta: False keeps the vector of a Dirichlet law as it starts, alike for all classes: `beta` is None.
        worst_point: after noise and mixup, move to the worst point of a ball; None: stay.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1.
    """

    fixed_beta: Tensor | None

    def __init__(
        self,
        *,
        num_classes: int,
        noise_sigma: float,
        mixup_alpha: float,
        law: str,
        sampled: bool,
        smoothing: float,
        total_concentration: float,
        alpha: float,
        scale: float,
        beta_max: float,
        learn_beta: bool = True,
        worst_point: WorstPoint | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.noise_sigma = noise_sigma
        self.mixup_alpha = mixup_alpha
        self.law = law
        self.sampled = sampled
        self.smoothing = smoothing
        self.total_concentration = total_concentration
        self.alpha = alpha
        self.scale = scale
        self.worst_point = worst_point
        self._weights = WeightPerturbation()
        self.beta_range = (-beta_max, beta_max) if law == "budget" else (SMALLEST_BETA, beta_max)
        vector = None
        if law not in {"one-hot", "uniform"}:
            vector = torch.full((num_classes,), 0.0 if law == "budget" else 1.0)
        self.register_buffer("fixed_beta", None if learn_beta else vector, persistent=False)
        if vector is not None and learn_beta:
            self.beta = nn.Parameter(vector)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of one draw: noise, then mixup, then the worst point nearby, then the label law.

        One backward pass through it gives the gradients for the network and for beta. With `awp_gamma` the loss is
        that at weights moved up the same draw's loss; `after_backward` puts them back.

        Args:
            model: (N, C, H, W) -> logits (N, K).
            images: (N, C, H, W) in [0, 1].
            labels: (N,) int64.
        """
        drawn, soft_labels = gaussian(images, self._one_hot(labels), noise_sigma=self.noise_sigma)
        drawn, soft_labels = mixup(drawn, soft_labels, mixup_alpha=self.mixup_alpha)
        if self.worst_point is not None:
            drawn = self.worst_point(model, drawn, soft_labels)
        soft_labels = self._draw_labels(drawn, soft_labels)
        return self._weights.loss(model, lambda: soft_cross_entropy(model(drawn), soft_labels), gamma=self.awp_gamma)

    def after_backward(self) -> None:
        """Put back the weights that a perturbation moved."""
        self._weights.put_back()

    def clean_loss(self, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss with the label law alone, without noise and mixup: what the reference code's beta climbs."""
        soft_labels = self._draw_labels(images, self._one_hot(labels))
        return soft_cross_entropy(model(images), soft_labels)

    def concentration(self, soft_labels: Tensor) -> Tensor:
        """Return the law's parameter, (N, K); the law must be a Dirichlet law."""
        beta = self._vector()
        assert beta is not None, f"the law {self.law} has no concentration"
        if self.law == "budget":
            return budget_concentration(
                soft_labels, beta, smoothing=self.smoothing, total_concentration=self.total_concentration
            )
        if self.law == "paper":
            return paper_concentration(soft_labels, beta, alpha=self.alpha)
        if self.law == "paper-printed":
            return printed_concentration(soft_labels, beta, alpha=self.alpha)
        return reference_concentration(soft_labels, beta, scale=self.scale)

    @torch.no_grad()
    def target_mass(self) -> Tensor:
        """Return the mean label mass left on the true class, averaged over classes, before mixup; a scalar."""
        beta = self._vector()
        eye = torch.eye(self.num_classes, device=None if beta is None else beta.device)
        return self._mean_labels(eye).diagonal().mean()

    @torch.no_grad()
    def bound_beta(self) -> None:
        """Bring beta back into its range; called after each of its steps."""
        if self.beta is not None:
            self.beta.clamp_(*self.beta_range)

    def _one_hot(self, labels: Tensor) -> Tensor:
        return one_hot(labels, self.num_classes).float()

    def _vector(self) -> Tensor | None:
        return self.fixed_beta if self.beta is None else self.beta

    def _draw_labels(self, images: Tensor, soft_labels: Tensor) -> Tensor:
        if self._vector() is None:
            return self._mean_labels(soft_labels)
        _, drawn = dirichlet(images, soft_labels, concentration=self.concentration(soft_labels), sampled=self.sampled)
        return drawn

    def _mean_labels(self, soft_labels: Tensor) -> Tensor:
        if self.law == "one-hot":
            return soft_labels
        if self.law == "uniform":
            return (1 - self.smoothing) * soft_labels + self.smoothing / self.num_classes
        return mean_label(self.concentration(soft_labels))
