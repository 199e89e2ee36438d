"""SPROUT's label law: soft labels from a Dirichlet whose concentration depends on a learned vector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_BETA = 1e-3
SMALLEST_CONCENTRATION = 1e-4  # torch's sampler raises at 0 and underflows far below this


def paper_concentration(soft_labels: Tensor, beta: Tensor, *, alpha: float) -> Tensor:
    """Return (1 - alpha) y + alpha beta.

    Args:
        soft_labels: (N, K), rows >= 0 that sum to 1: one-hot or mixed.
        beta: (K,), > 0, float32.
        alpha: in [0, 1], the share of `beta`; 0.01 in the paper.
    Returns:
        (N, K), differentiable in `beta`.
    Note: the printed algorithm swaps the two weights, see `printed_concentration`; this follows the authors'
        patent and slides.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1; US patent 11,416,775.
    """
    return (1 - alpha) * soft_labels + alpha * beta


def printed_concentration(soft_labels: Tensor, beta: Tensor, *, alpha: float) -> Tensor:
    """Return alpha y + (1 - alpha) beta, the weights as the algorithm box prints them.

    Arguments, result and source as in `paper_concentration`.
    """
    return paper_concentration(soft_labels, beta, alpha=1 - alpha)


def reference_concentration(soft_labels: Tensor, beta: Tensor, *, scale: float) -> Tensor:
    """Return scale y + beta.

    Args:
        soft_labels: (N, K), rows >= 0 that sum to 1.
        beta: (K,), > 0, float32; starts at 1.
        scale: > 0; 10 in the reference code.
    Returns:
        (N, K), differentiable in `beta`.
    Note: under mixup the reference mixes two losses, each with its own draw; its expectation is the one of
        this single draw with the mixed label.
    Source: the code published with the paper, IBM/SPROUT, main_cus.py, `dirismooth`.
    """
    return scale * soft_labels + beta


def budget_concentration(soft_labels: Tensor, beta: Tensor, *, smoothing: float, total_concentration: float) -> Tensor:
    """Return S ((1 - m) y + m softmax(b)): the mean label moves the same mass m off y for any number of classes.

    Args:
        soft_labels: (N, K), rows >= 0 that sum to 1.
        beta: (K,), any sign: the logits b of where the moved mass goes.
        smoothing: m in [0, 1], the share of label mass that is moved.
        total_concentration: S > 0; larger: draws lie closer to their mean.
    Returns:
        (N, K), rows sum to S; differentiable in `beta`.
    Source: this project; a reparametrisation of `paper_concentration` that cannot drift.
    """
    return total_concentration * ((1 - smoothing) * soft_labels + smoothing * beta.softmax(dim=0))


def mean_label(concentration: Tensor) -> Tensor:
    """Return the mean of a Dirichlet, c / sum(c), row by row."""
    return concentration / concentration.sum(dim=1, keepdim=True)


def dirichlet(images: Tensor, soft_labels: Tensor, *, concentration: Tensor, sampled: bool) -> tuple[Tensor, Tensor]:
    """Replace the labels by a draw from Dirichlet(concentration), or by its mean; images stay.

    The loss is linear in the label, so its expectation over the draw is the loss at the mean: the mean gives the
    same gradient on average, for the network and for the concentration, without the variance of sampling.

    Args:
        images: (N, C, H, W).
        soft_labels: (N, K), replaced; only its shape matters here.
        concentration: (N, K), >= 0, float32 or wider; clamped to >= 1e-4 before it is sampled.
        sampled: draw (as published), or take the mean.
    Returns:
        The images and (N, K) labels whose rows sum to 1; differentiable in `concentration` (a draw by implicit
        reparametrisation).
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1.
    """
    if concentration.shape != soft_labels.shape:
        raise ValueError(f"concentration is {tuple(concentration.shape)}, labels {tuple(soft_labels.shape)}")
    if not sampled:
        return images, mean_label(concentration)
    with torch.autocast(device_type=images.device.type, enabled=False):
        law = torch.distributions.Dirichlet(concentration.clamp_min(SMALLEST_CONCENTRATION), validate_args=False)
        return images, law.rsample()


@dataclass(frozen=True)
class LabelLaw:
    """What becomes of labels, under the settings of a recipe's `vicinity.labels`.

    Attributes:
        law: `one-hot` (labels stay), `uniform` ((1 - m) y + m / K), or a Dirichlet law with a learned vector: `budget`,
            `paper`, `paper-printed`, `reference`.
        draw: `sampled` from the Dirichlet (as published), or `expected`, its mean.
        smoothing: m in [0, 1], of `uniform` and `budget`.
        total_concentration: S of `budget`, > 0.
        alpha: of `paper` and `paper-printed`, in [0, 1].
        scale: s of `reference`, > 0.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1; `uniform`: Szegedy et al.,
        "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.
    """

    law: str = "one-hot"
    draw: str = "expected"
    smoothing: float = 0.2
    total_concentration: float = 10.0
    alpha: float = 0.01
    scale: float = 10.0

    def __call__(self, images: Tensor, soft_labels: Tensor, *, beta: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the images and the labels of the law, (N, K), rows that sum to 1; differentiable in `beta`.

        Args:
            images: (N, C, H, W).
            soft_labels: (N, K), rows >= 0 that sum to 1.
            beta: (K,), float32, the vector of a Dirichlet law; None under the others.
        """
        if beta is None:
            return images, self.mean(soft_labels, None)
        concentration = self.concentration(soft_labels, beta)
        return dirichlet(images, soft_labels, concentration=concentration, sampled=self.draw == "sampled")

    def start(self, num_classes: int) -> Tensor | None:
        """Return the vector before training, (K,): 0 for the logits of `budget`, else 1; None: no Dirichlet law."""
        if self.law in {"one-hot", "uniform"}:
            return None
        return torch.full((num_classes,), 0.0 if self.law == "budget" else 1.0)

    def bounds(self, most: float) -> tuple[float, float]:
        """Return the range of the vector: [-most, most] for the logits of `budget`, else [1e-3, most]."""
        return (-most, most) if self.law == "budget" else (SMALLEST_BETA, most)

    def concentration(self, soft_labels: Tensor, beta: Tensor) -> Tensor:
        """Return the law's parameter, (N, K); the law must be a Dirichlet law."""
        if self.law == "budget":
            return budget_concentration(
                soft_labels, beta, smoothing=self.smoothing, total_concentration=self.total_concentration
            )
        if self.law == "paper":
            return paper_concentration(soft_labels, beta, alpha=self.alpha)
        if self.law == "paper-printed":
            return printed_concentration(soft_labels, beta, alpha=self.alpha)
        assert self.law == "reference", f"the law {self.law} has no concentration"
        return reference_concentration(soft_labels, beta, scale=self.scale)

    def mean(self, soft_labels: Tensor, beta: Tensor | None) -> Tensor:
        """Return the mean of the labels drawn, (N, K); arguments as of a draw."""
        if beta is not None:
            return mean_label(self.concentration(soft_labels, beta))
        if self.law == "uniform":
            return (1 - self.smoothing) * soft_labels + self.smoothing / soft_labels.shape[1]
        return soft_labels
