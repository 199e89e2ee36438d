"""Losses: (logits, labels) -> what training minimises, one number, or what an attack maximises, one number an image."""

from hardener.catalog import Catalog, Entry

LOSSES: Catalog = {
    "soft-cross-entropy": Entry(
        "hardener.losses.soft_cross_entropy:soft_cross_entropy",
        "cross-entropy against a distribution over the classes",
    ),
    "ce": Entry("hardener.losses.cross_entropy:cross_entropy", "cross-entropy against the true class, image by image"),
    "margin": Entry("hardener.losses.margin:margin", "the best other logit minus the true class's, image by image"),
    "dlr": Entry("hardener.losses.dlr:dlr", "the margin over the spread of the largest three logits, image by image"),
}

OBJECTIVES: Catalog = {name: LOSSES[name] for name in ("ce", "margin", "dlr")}
"""What a gradient attack may climb: (logits (N, K), labels (N,)) -> (N,), to be maximised."""
