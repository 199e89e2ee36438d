"""Where an evaluation stands, between one batch and the next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FEWEST = 8
"""Images that a share takes at least."""


@dataclass(frozen=True)
class Found:
    """What an attack found of a batch.

    Which images fell inside the threat model, to what, how near any adversarial image lies, how near another class
    came, as a share of what the logits spread over, how each is changed, and under a threat without a norm by which
    point of its box.
    """

    broken: Tensor
    answer: Tensor
    adversarial: Tensor
    distance: Tensor
    nearness: Tensor
    delta: Tensor
    points: Tensor | None = None

    def best_of(self, starts: int) -> Found:
        """Return the best of several starts, whose rows follow one another: all images by the first, then the second.

        An image is broken where a start broke it, and then by the first that did; elsewhere it is the one by which
        another class came nearest.
        """
        many = len(self.broken) // starts
        nearness = torch.where(self.nearness.isnan(), -torch.inf, self.nearness)
        best = nearness.view(starts, many).argmax(dim=0) * many + torch.arange(many)
        there = best.to(self.delta.device)
        return Found(
            self.broken[best],
            self.answer[best],
            self.adversarial[there],
            self.distance.view(starts, many).amin(dim=0),
            self.nearness[best],
            self.delta[there],
            None if self.points is None else self.points[there],
        )


class Standing:
    """Where an evaluation stands: which images fell, to what, and which batch comes next.

    Attributes:
        became: (N,) int64, what the model takes each image for: untouched, or as what broke it left it.
        nearness: (N,), how near another class came to each image's own, at most 0 for those that stand: the
            `relative_margin`.
        nearest: (N, C, H, W) float16, how each image is changed where that was; None where nobody asks for it.
        because: questions of an audit that made the evaluation go on with more attacks.
    """

    def __init__(self, predictions: Tensor, clean_correct: Tensor) -> None:
        self.predictions = predictions
        self.became = predictions.clone()
        self.stands = clean_correct.clone()
        self.broken_by = torch.full((len(predictions),), -1)
        self.distance = torch.where(clean_correct, torch.inf, 0.0)
        self.place, self.restart, self.offset = 0, 0, 0
        self.targets: Tensor | None = None
        self.attacked, self.broken, self.last_broken, self.seconds = 0, 0, 0, 0.0
        self.outcomes: list[tuple[float, int, int, float]] = []
        self.examples: dict[int, Tensor] = {}
        self.points: dict[int, Tensor] = {}
        self.generator_state: Tensor | None = None
        self.nearness = torch.where(clean_correct, -torch.inf, torch.inf)
        self.nearest: Tensor | None = None
        self.because: list[str] = []

    def take(self, piece: Tensor, found: Found, keep_examples: int) -> None:
        """Count a batch."""
        newly = found.broken & self.stands[piece]
        fell = piece[newly]
        self.became[fell] = found.answer[newly]
        self.stands[fell] = False
        self.broken_by[fell] = self.place
        self.distance[piece] = torch.minimum(self.distance[piece], found.distance)
        nearer = found.nearness > self.nearness[piece]
        self.nearness[piece[nearer]] = found.nearness[nearer]
        if self.nearest is not None:
            self.nearest[piece[nearer]] = found.delta[nearer.to(found.delta.device)].cpu().half()
        for index in fell[: max(keep_examples - len(self.examples), 0)].tolist():
            row = int((piece == index).nonzero())
            self.examples[index] = found.adversarial[row].cpu()
            if found.points is not None:
                self.points[index] = found.points[row].cpu()
        self.offset += len(piece)
        self.broken += len(fell)
        if self.restart == 0:
            self.attacked += len(piece)

    def choose(self, among: Tensor, *, share: float, sample: int | None) -> Tensor:
        """Return which images to attack, ascending: (n,) int64.

        Args:
            among: (N,) bool, of these.
            share: those nearest to another class, at least `FEWEST` where there are so many.
            sample: at most so many, evenly drawn.
        """
        where = among.nonzero().squeeze(1)
        if share < 1:
            count = max(math.ceil(share * len(where)), min(FEWEST, len(where)))
            where = where[self.nearness[where].argsort(descending=True, stable=True)[:count]].sort().values
        return where if sample is None else evenly(where, sample)

    def end_restarts(self, count: int) -> None:
        """Begin the next restart; so many were made."""
        self.targets, self.offset, self.restart = None, 0, self.restart + count

    def end_plan(self) -> None:
        """Begin the next attack."""
        left = int(self.stands.sum()) / len(self.stands)
        self.outcomes.append((left, self.attacked, self.broken, self.seconds))
        self.place, self.restart = self.place + 1, 0
        self.attacked, self.broken, self.seconds = 0, 0, 0.0

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values only, so that it can be stored without pickling anything else."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Standing:
        """Return what `state` was taken from."""
        found = cls.__new__(cls)
        vars(found).update(state)
        if "became" not in state:  # of a version that did not keep it
            found.became = torch.where(found.broken_by < 0, found.predictions, -1)
        if "points" not in state:
            found.points = {}
        return found


def evenly(where: Tensor, count: int) -> Tensor:
    """Return at most `count` of the indices, evenly spread: images often lie sorted by class."""
    if len(where) <= count:
        return where
    return where[torch.linspace(0, len(where) - 1, count).round().long()]
