"""What the targeted attacks of AutoAttack's suite share: which classes to aim at, how many at once, how far each is."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.runtime import batch
from hardener.runtime.answers import chosen_class


@torch.no_grad()
def likely_targets(model: Classifier, images: Tensor, labels: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the wrong classes that each image is nearest to by its logits, and which images stand.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        most: classes an image, >= 1; all K - 1 where there are fewer.
    Returns:
        (N, min(most, K - 1)) int64, the most likely wrong class first; (N,) bool, True where the model is right.
    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020 (the targets of APGD-T and FAB-T).
    """
    logits = model(images)
    wrong = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
    targets: Tensor = wrong.topk(min(most, logits.shape[1] - 1), dim=1).indices
    return targets, chosen_class(logits) == labels


def targets_at_once(images: Tensor, targets: Tensor) -> int:
    """Return how many targets to aim each image at in one batch: more than one where few small images are left.

    An image takes a row for each of them. It costs no memory that a batch of 32 small images would not take, and an
    attack on the last few images, which is all waiting, takes a fraction of the time.

    Args:
        images: (N, C, H, W), those that stand.
        targets: (N, T), that are still to be tried.
    """
    return batch.times_at_once(images, targets.shape[1])


def lead(logits: Tensor, labels: Tensor, *, targets: Tensor) -> Tensor:
    """Return z_t - z_y of each image, (N,): positive where the target's logit exceeds the label's."""
    return (logits.gather(1, targets.unsqueeze(1)) - logits.gather(1, labels.unsqueeze(1))).squeeze(1)
