"""Classes of unequal size, as a recipe evens them out: by what an image counts, or by how often it is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hardener.config.schema import Recipe


def class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Return N / (K n_k), (K,) float32: all classes weigh the same, and the mean over the images is 1.

    Args:
        labels: (N,) int64; each class has an image.
    """
    counts = torch.bincount(labels, minlength=num_classes)
    assert counts.min() > 0, "a class without images has no weight"
    return (len(labels) / (num_classes * counts)).float()


def even_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return an epoch's places, (N,) int64, in which all classes come equally often, give or take one.

    Those of a small class go round, so that none comes twice before all came once; of a large class each epoch has
    others.

    Args:
        labels: (N,) int64.
        generator: what order and choice follow from.
    """
    grouped = labels.argsort(stable=True)
    members = grouped.split(torch.bincount(labels).tolist())
    present = [places for places in members if len(places)]
    share, rest = divmod(len(labels), len(present))
    luck = torch.randperm(len(present), generator=generator) < rest
    parts = []
    for places, one_more in zip(present, luck.tolist(), strict=True):
        wanted = share + one_more
        rounds = [torch.randperm(len(places), generator=generator) for _ in range(-(-wanted // len(places)))]
        parts.append(places[torch.cat(rounds)[:wanted]] if wanted else places[:0])
    order = torch.cat(parts)
    return order[torch.randperm(len(order), generator=generator)]


def first_of_each(labels: Tensor, order: Tensor) -> Tensor:
    """Return the places in `order`, (N,) int64, by rounds: the first of each class, then the second of each, and so on.

    Args:
        labels: (N,) int64.
    """
    turn, seen = [], dict.fromkeys(labels.tolist(), 0)
    for label in labels[order].tolist():
        turn.append(seen[label])
        seen[label] += 1
    return order[torch.tensor(turn).argsort(stable=True)]


def describe_balance(recipe: Recipe, labels: Tensor, classes: Sequence[str]) -> str | None:
    """Say what the recipe's `data.balance` does with these images; None where it does nothing."""
    counts = torch.bincount(labels, minlength=len(classes))
    few, many = int(counts.argmin()), int(counts.argmax())
    if recipe.data.balance != "none" and counts[few] == counts[many]:
        return (
            f"data.balance={recipe.data.balance} changes nothing: each class has {int(counts[few]):,} training images"
        )
    if recipe.data.balance == "sampler":
        share = len(labels) / len(classes)
        return (
            f"data.balance=sampler: an epoch shows about {share:,.0f} images of each class, so each of the "
            f"{int(counts[few]):,} of {classes[few]} {share / int(counts[few]):.2g} times"
        )
    if recipe.data.balance == "weights":
        weights = class_weights(labels, len(classes))
        return (
            f"data.balance=weights: an image counts {float(weights[many]):.2g} ({classes[many]}) to "
            f"{float(weights[few]):.2g} times ({classes[few]})"
        )
    return None
