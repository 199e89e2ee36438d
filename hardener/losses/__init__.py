"""Losses: (logits, labels) -> a number to minimise."""

from hardener.catalog import Catalog

LOSSES: Catalog = {
    "soft-cross-entropy": (
        "hardener.losses.soft_cross_entropy:soft_cross_entropy",
        "cross-entropy against a distribution over the classes",
    ),
}
