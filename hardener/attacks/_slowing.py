"""An ascent that slows down: the one that `pma` and `mm` share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.attacks._layout import fast_layout
from hardener.attacks._precision import answers, misclassified
from hardener.geometry import fit_box, norm_geometry
from hardener.losses.margin import relative_margin

_MOMENTUM = 0.25
"""The share of a step that repeats the one before."""


@dataclass(frozen=True)
class Pace:
    """Where and how long an ascent goes: `steps` >= 1, from eps long to none, in the norm's ball of radius eps."""

    norm: str
    eps: float
    steps: int
    bf16: bool


def beginning(
    images: Tensor, start: Tensor | None, pace: Pace, *, random_start: bool, generator: torch.Generator | None
) -> Tensor:
    """Return where to start, (N, C, H, W) in ball and box: from `start`, at a random point, or at the images."""
    ball = norm_geometry(pace.norm)
    if start is not None:
        return images + ball.project_in_box(images, start - images, pace.eps)
    if not random_start:
        return images
    return images + fit_box(images, ball.random_point(images, pace.eps, generator))


@dataclass
class _Rows:
    """A row for each standing image and each of its targets: all images with their first target, then the second."""

    place: Tensor
    clean: Tensor
    truth: Tensor
    goals: Tensor
    at: Tensor
    before: Tensor
    best: Tensor
    nearness: Tensor

    def keep(self, rows: Tensor) -> None:
        """Let all others leave."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name)[rows])

    def keep_best(self, logits: Tensor) -> None:
        """Remember each row's point if another class was never nearer."""
        nearness = relative_margin(logits, self.truth)
        better = nearness > self.nearness
        self.best = torch.where(better.view(-1, 1, 1, 1), self.at, self.best)
        self.nearness = torch.where(better, nearness, self.nearness)

    def move(self, gradient: Tensor, pace: Pace, step: int) -> None:
        """Step up, by less and less, with a share of the step before."""
        ball = norm_geometry(pace.norm)
        length = pace.eps * (1 + math.cos(math.pi * step / pace.steps)) / 2
        ahead = self.at + length * ball.climbing_step(gradient.nan_to_num(nan=0.0), pace.eps) - self.clean
        ahead = self.clean + ball.project_in_box(self.clean, ahead, pace.eps)
        if step > 0:
            ahead = self.at + (1 - _MOMENTUM) * (ahead - self.at) + _MOMENTUM * (self.at - self.before)
            ahead = self.clean + ball.project_in_box(self.clean, ahead - self.clean, pace.eps)
        self.before, self.at = self.at, ahead


def slowing_climb(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    objective: Callable[..., Tensor],
    pace: Pace,
    start: Tensor,
    *,
    targets: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Climb with steps whose length falls as half a cosine from eps to 0; an image leaves as soon as a row of it falls.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        objective: (logits, labels) -> (N,), to be maximised; called with `targets=` too where they are given.
        pace: where and how long it climbs.
        start: (N, C, H, W) in ball and box.
        targets: (N, T) int64, the classes that each image is driven to.
    Returns:
        (N, C, H, W), inside ball and box: the first misclassified point of an image, or the one where another class
        came nearest, as a share of what its logits spread over; (N,) bool, True where the image is misclassified there.
    """
    many = 1 if targets is None else targets.shape[1]
    clean = fast_layout(images.repeat(many, 1, 1, 1))
    truth = labels.repeat(many)
    at = fast_layout(start.repeat(many, 1, 1, 1))
    rows = _Rows(
        torch.arange(len(images), device=images.device).repeat(many), clean, truth,
        truth if targets is None else targets.T.reshape(-1), at, at, at, torch.full_like(clean[:, 0, 0, 0], -torch.inf),
    )  # fmt: skip
    found, fell = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for step in range(pace.steps + 1):
        logits, gradient = _look(model, rows, objective, pace, aimed=targets is not None, last=step == pace.steps)
        rows.keep_best(logits)
        broken = misclassified(model, rows.at, rows.truth, logits, bf16=pace.bf16).view(many, -1)
        falls, first = broken.any(dim=0), broken.int().argmax(dim=0)
        if bool(falls.any()):
            chosen = (first * broken.shape[1] + torch.arange(broken.shape[1], device=first.device))[falls]
            found[rows.place[chosen]], fell[rows.place[chosen]] = rows.at[chosen], True
            stay = ~falls.repeat(many)
            rows.keep(stay)
            gradient = gradient[stay]
        if len(rows.place) == 0:
            return found, fell
        if step < pace.steps:
            rows.move(gradient, pace, step)
    standing = len(rows.place) // many
    nearest = rows.nearness.view(many, standing).argmax(dim=0) * standing + torch.arange(standing, device=images.device)
    found[rows.place[nearest]] = rows.best[nearest]
    return found, fell


def _look(
    model: Classifier, rows: _Rows, objective: Callable[..., Tensor], pace: Pace, *, aimed: bool, last: bool
) -> tuple[Tensor, Tensor]:
    """Return logits and, unless it is the last look, the objective's gradient."""
    if last:
        return answers(model, rows.at, bf16=pace.bf16), rows.at
    aim = partial(objective, targets=rows.goals) if aimed else objective
    logits, _, gradient = value_and_gradient(model, rows.at, rows.truth, objective=aim, bf16=pace.bf16)
    return logits, gradient
