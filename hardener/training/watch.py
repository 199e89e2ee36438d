"""Catastrophic overfitting: adversarial training that one day resists its own attack alone."""

from __future__ import annotations

from hardener.evaluation.interval import clopper_pearson


def collapsed(robust: float, best: float, samples: int, *, num_classes: int) -> bool:
    """Tell whether robust accuracy fell too far below the best epoch's for chance to explain it.

    It has more than halved, the exact 95 % intervals of the two lie apart, and the best one was better than guessing.

    Args:
        robust, best: accuracies under the same many-step attack, fractions of `samples` images.
        samples: images, >= 1.
        num_classes: >= 2; a network that answers at random is right on one image in so many.
    Source: the phenomenon: Wong, Rice, Kolter, "Fast is Better than Free", ICLR 2020; this rule is ours.
    """
    if robust >= best / 2 or best <= 1 / num_classes:
        return False
    _, upper = clopper_pearson(round(robust * samples), samples)
    lower, _ = clopper_pearson(round(best * samples), samples)
    return upper < lower
