"""The margin between probabilities: bounded, and steep where an image is about to fall."""

from __future__ import annotations

from torch import Tensor

from hardener.losses.margin import margin


def probability_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return max over k != y of p_k, minus p_y, of each image, where p is the softmax of the logits.

    It is the margin of the probabilities: an ascent weighs the classes as the cross-entropy does, and counts as the
    margin does. Where one class is surely taken float32 leaves it no gradient.

    Args:
        logits: (N, K), K >= 2.
        labels: (N,) int64, y.
    Returns:
        (N,) in [-1, 1], positive exactly where the image is misclassified (up to ties).
    Source: Xie, Zheng, Huang, Ye, Ma, "Towards Million-Scale Adversarial Robustness Evaluation With Stronger
        Individual Attacks", CVPR 2025 (the probability margin loss of PMA).
    """
    return margin(logits.softmax(dim=1), labels)
