"""SPROUT's label law: soft labels from a Dirichlet whose concentration depends on a learned vector."""

from __future__ import annotations

import torch
from torch import Tensor

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
