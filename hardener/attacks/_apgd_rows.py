"""The rows that Auto-PGD moves, and the two published rules by which their steps change."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import pairwise

import torch
from torch import Tensor

from hardener.geometry import norm_geometry
from hardener.geometry.l1 import sparse_step

_MOMENTUM = 0.75
"""alpha of the paper: the share of the new step; the rest repeats the step before."""
_RISING = 0.75
"""rho of the paper: the share of steps that must have raised the objective, or the step size is halved."""
_FIRST_SHARE = 0.2
"""Of all values, those that the first steps of l1-APGD change."""
_SPARSER = 1.5
"""By how much l1-APGD's steps change fewer values than its best point does, and by how much they shorten."""
_ALIKE = 0.95
"""From this share on, the best point of l1-APGD changes about as many values as it did at the check before."""
_SHORTEST = 10
"""l1-APGD's steps are never shorter than this part of eps."""


def checkpoints(steps: int) -> dict[int, int]:
    """Return the steps after which the step size is looked at -> how many steps lie between it and the one before.

    Source: Croce and Hein, ICML 2020, the checkpoints of Auto-PGD: p_0 = 0, p_1 = 0.22,
        p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06), and the j-th checkpoint is ceil(p_j * steps).
    """
    percent = [0, 22]  # whole numbers, because ceil(0.41 * 100) is 42 in floating point
    while percent[-1] < 100:
        percent.append(percent[-1] + max(percent[-1] - percent[-2] - 3, 6))
    places = sorted({-(-p * steps // 100) for p in percent if p <= 100})
    return {after: after - before for before, after in pairwise(places)}


@dataclass
class Rows:
    """Where each row is, and where it was best.

    There is a row for each standing image and each of its targets: all images with their first target, then all with
    their second.
    """

    place: Tensor
    images: Tensor
    labels: Tensor
    targets: Tensor
    at: Tensor
    value: Tensor
    gradient: Tensor
    norm: str
    eps: float
    steps: int
    best: Tensor = field(init=False)
    best_value: Tensor = field(init=False)
    best_gradient: Tensor = field(init=False)
    step_size: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.best, self.best_value, self.best_gradient = self.at, self.value, self.gradient
        self.step_size = torch.full(
            (len(self.images), 1, 1, 1), self.eps, device=self.images.device, dtype=self.images.dtype
        )

    def keep(self, rows: Tensor) -> None:
        """Let all others leave."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Tensor):
                setattr(self, item.name, value[rows])

    def advance(self, step: int) -> None:
        """Move every row; `step` counts from 0."""
        raise NotImplementedError

    def judge(self, value: Tensor, gradient: Tensor) -> None:
        """Take the objective and its gradient where the rows are now."""
        self.value, self.gradient = value, gradient

    def keep_best(self) -> None:
        """Remember each row's point if none had a larger objective."""
        better = self.value > self.best_value
        rows = better.view(-1, 1, 1, 1)
        self.best = torch.where(rows, self.at, self.best)
        self.best_gradient = torch.where(rows, self.gradient, self.best_gradient)
        self.best_value = torch.where(better, self.value, self.best_value)

    def check(self, step: int) -> None:
        """Change the steps if it is time to; `step` counts from 0."""
        raise NotImplementedError

    def go_back(self, which: Tensor) -> None:
        """Put the chosen rows, (rows,) bool, back at their best points."""
        rows = which.view(-1, 1, 1, 1)
        self.at = torch.where(rows, self.best, self.at)
        self.gradient = torch.where(rows, self.best_gradient, self.gradient)
        self.value = torch.where(which, self.best_value, self.value)

    def _direction(self) -> Tensor:
        return self.gradient.nan_to_num(nan=0.0)  # a part that is NaN costs the attack that pixel, not the image

    def _inside(self, points: Tensor) -> Tensor:
        return self.images + norm_geometry(self.norm).project_in_box(self.images, points - self.images, self.eps)


@dataclass
class HalvingRows(Rows):
    """Steps with momentum, from 2 eps on, halved where too few of them rose or a whole stretch gained nothing.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020, Algorithm 1.
    """

    before: Tensor = field(init=False)
    rises: Tensor = field(init=False)
    was_halved: Tensor = field(init=False)
    checked_value: Tensor = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.step_size = torch.full_like(self.step_size, 2 * self.eps)
        self.before, self.checked_value = self.at, self.value
        self.rises = torch.zeros_like(self.value)
        self.was_halved = torch.zeros_like(self.labels, dtype=torch.bool)
        self._checks = checkpoints(self.steps)

    def advance(self, step: int) -> None:
        share = _MOMENTUM if step > 0 else 1.0
        ahead = self._inside(self.at + self.step_size * norm_geometry(self.norm).steepest(self._direction()))
        if share < 1:
            ahead = self._inside(self.at + share * (ahead - self.at) + (1 - share) * (self.at - self.before))
        self.before, self.at = self.at, ahead

    def judge(self, value: Tensor, gradient: Tensor) -> None:
        self.rises += value > self.value
        super().judge(value, gradient)

    def check(self, step: int) -> None:
        if step + 1 not in self._checks:
            return
        stalled = ~self.was_halved & (self.best_value == self.checked_value)
        halve = (self.rises < _RISING * self._checks[step + 1]) | stalled
        self.step_size = torch.where(halve.view(-1, 1, 1, 1), self.step_size / 2, self.step_size)
        self.go_back(halve)
        self.was_halved, self.checked_value = halve, self.best_value
        self.rises = torch.zeros_like(self.rises)


@dataclass
class SparseRows(Rows):
    """Steps that change a few values alike, fewer and fewer: two thirds as many as the best point so far has changed.

    Every 4 % of the steps the best point is looked at. Where it has become sparser, the steps are eps long again and
    go on from it; elsewhere they shorten, down to a tenth of eps.

    Source: Croce and Hein, "Mind the box: l1-APGD for Sparse Adversarial Attacks on Image Classifiers", ICML 2021
        (l1-APGD).
    """

    is_first: bool = True
    kept: Tensor = field(init=False)
    changed: Tensor = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.changed = self._count(self.at)
        if self.is_first:
            self.changed = torch.full_like(self.changed, self.images[0].numel())
        self.kept = self._fewer(_SPARSER * _FIRST_SHARE * self.changed if self.is_first else self.changed)
        self._every = max(4 * self.steps // 100, 1)

    def advance(self, step: int) -> None:
        self.at = self._inside(self.at + self.step_size * sparse_step(self._direction(), self.kept))

    def check(self, step: int) -> None:
        if (step + 1) % self._every:
            return
        changed = self._count(self.best)
        sparser = changed < _ALIKE * self.changed
        shorter = (self.step_size / _SPARSER).clamp_min(self.eps / _SHORTEST)
        self.step_size = torch.where(sparser.view(-1, 1, 1, 1), self.eps, shorter)
        self.kept, self.changed = self._fewer(changed), changed
        self.go_back(sparser)

    def _count(self, points: Tensor) -> Tensor:
        return (points != self.images).flatten(1).sum(dim=1)

    def _fewer(self, changed: Tensor) -> Tensor:
        return (changed / _SPARSER).long().clamp_min(1)
