"""The difference of logits ratio: a margin that no shift and no scale of the logits changes."""

from __future__ import annotations

from torch import Tensor

from hardener.losses.margin import margin

_TINY = 1e-12


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Return - (z_y - max over k != y of z_k) / (z_(1) - z_(3)) of each image; z_(i) is the i-th largest logit.

    Args:
        logits: (N, K), z, K >= 2. With K = 2 there is no third logit, and the margin itself is returned.
        labels: (N,) int64, y.
    Returns:
        (N,); with K >= 3 at least -1, and positive exactly where the image is misclassified (up to ties).
    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020, equation 6.
    """
    if logits.shape[1] < 3:
        return margin(logits, labels)
    largest = logits.topk(3, dim=1).values
    return margin(logits, labels) / (largest[:, 0] - largest[:, 2]).clamp_min(_TINY)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """Return - (z_y - z_t) / (z_(1) - (z_(3) + z_(4)) / 2) of each image; z_(i) is the i-th largest logit.

    Args:
        logits: (N, K), z, K >= 2. With K < 4 there is no fourth logit, and z_t - z_y is returned.
        labels: (N,) int64, y.
        targets: (N,) int64, t, the classes to reach; none equal to its label.
    Returns:
        (N,); positive exactly where z_t > z_y.
    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020, equation 7.
    """
    lead = (logits.gather(1, targets.unsqueeze(1)) - logits.gather(1, labels.unsqueeze(1))).squeeze(1)
    if logits.shape[1] < 4:
        return lead
    largest = logits.topk(4, dim=1).values
    return lead / (largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2).clamp_min(_TINY)
