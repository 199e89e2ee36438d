"""Losses: (logits, labels) -> what training minimises, one number, or what an attack maximises, one number an image."""

from collections.abc import Mapping
from dataclasses import dataclass

from hardener.catalog import Entry


@dataclass(frozen=True)
class LossEntry(Entry):
    """A loss.

    Attributes:
        by_image: it gives one number an image, (logits (N, K), labels (N,)) -> (N,), which an attack may climb.
    """

    by_image: bool = True


LOSSES: Mapping[str, LossEntry] = {
    "soft-cross-entropy": LossEntry(
        "hardener.losses.soft_cross_entropy:soft_cross_entropy",
        "cross-entropy against a distribution over the classes",
        by_image=False,
    ),
    "ce": LossEntry(
        "hardener.losses.cross_entropy:cross_entropy", "cross-entropy against the true class, image by image"
    ),
    "margin": LossEntry("hardener.losses.margin:margin", "the best other logit minus the true class's, image by image"),
    "dlr": LossEntry(
        "hardener.losses.dlr:dlr", "the margin over the spread of the largest three logits, image by image"
    ),
    "pm": LossEntry(
        "hardener.losses.probability_margin:probability_margin",
        "the best other probability minus the true class's, image by image",
    ),
}

OBJECTIVES: Mapping[str, LossEntry] = {name: entry for name, entry in LOSSES.items() if entry.by_image}
"""What a gradient attack may climb: (logits (N, K), labels (N,)) -> (N,), to be maximised."""
