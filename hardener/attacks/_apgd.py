"""Auto-PGD: the ascent that `apgd` and `apgd-t` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.attacks._layout import fast_layout
from hardener.attacks._precision import misclassified
from hardener.geometry import norm_geometry
from hardener.geometry._box import fit_box

_MOMENTUM = 0.75
"""alpha of the paper: the share of the new step; the rest repeats the step before."""
_RISING = 0.75
"""rho of the paper: the share of steps that must have raised the objective, or the step size is halved."""


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
class _Climb:
    """Where each row is, where it was best, and what its step size hangs on.

    There is a row for each standing image and each of its targets: all images with their first target, then all with
    their second.
    """

    place: Tensor
    images: Tensor
    labels: Tensor
    targets: Tensor
    at: Tensor
    before: Tensor
    value: Tensor
    gradient: Tensor
    best: Tensor
    best_value: Tensor
    best_gradient: Tensor
    step_size: Tensor
    rises: Tensor
    was_halved: Tensor
    checked_value: Tensor

    def keep(self, rows: Tensor) -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name)[rows])


def climb(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    objective: Callable[..., Tensor],
    *,
    targets: Tensor | None = None,
    norm: str,
    eps: float,
    steps: int,
    random_start: bool,
    eot_draws: int,
    bf16: bool,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Climb an objective with steps that halve themselves; an image leaves as soon as a row of it is misclassified.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        objective: (logits, labels) -> (N,), to be maximised; called with `targets=` too where they are given.
        targets: (N, T) int64, the classes that each image is driven to, each from a start of its own.
        norm: `linf` or `l2`.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        eot_draws: passes that each gradient is averaged over.
        bf16: take gradients and objective in bfloat16; that a point is misclassified is for float32 to say.
        generator: of the random start.
    Returns:
        (N, C, H, W), inside ball and box: the first misclassified point of an image, or the one with the largest
        objective for its last target; (N,) bool, True where the image is misclassified there.
    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020, Algorithm 1.
    """
    ball, checks = norm_geometry(norm), checkpoints(steps)
    many = 1 if targets is None else targets.shape[1]
    clean, truth = fast_layout(images.repeat(many, 1, 1, 1)), labels.repeat(many)
    start = clean
    if random_start:
        start = clean + fit_box(clean, ball.random_point(clean, eps, generator))

    def look(points: Tensor, truth: Tensor, goals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        aim = objective if targets is None else partial(objective, targets=goals)
        return value_and_gradient(model, points, truth, objective=aim, eot_draws=eot_draws, bf16=bf16)

    goals = truth if targets is None else targets.T.reshape(-1)
    logits, value, gradient = look(start, truth, goals)
    state = _Climb(
        place=torch.arange(len(images), device=images.device).repeat(many),
        images=clean,
        labels=truth,
        targets=goals,
        at=start,
        before=start,
        value=value,
        gradient=gradient,
        best=start,
        best_value=value,
        best_gradient=gradient,
        step_size=torch.full((len(clean), 1, 1, 1), 2 * eps, device=images.device, dtype=images.dtype),
        rises=torch.zeros_like(value),
        was_halved=torch.zeros_like(truth, dtype=torch.bool),
        checked_value=value,
    )
    found, fell = images.clone(), torch.zeros_like(labels, dtype=torch.bool)

    def let_leave(logits: Tensor) -> None:
        broken = misclassified(model, state.at, state.labels, logits, bf16=bf16).view(many, -1)
        if bool(broken.any()):
            falls, first = broken.any(dim=0), broken.int().argmax(dim=0)
            rows = (first * broken.shape[1] + torch.arange(broken.shape[1], device=first.device))[falls]
            found[state.place[rows]] = state.at[rows]
            fell[state.place[rows]] = True
            state.keep(~falls.repeat(many))

    let_leave(logits)
    for step in range(steps):
        if len(state.place) == 0:
            break
        _step(state, norm, eps, share=_MOMENTUM if step > 0 else 1.0)
        logits, value, state.gradient = look(state.at, state.labels, state.targets)
        state.rises += value > state.value
        state.value = value
        let_leave(logits)  # before a check moves a row from the point that these logits are of
        _keep_best(state)
        if step + 1 in checks:
            _check(state, checks[step + 1])
    last = len(state.place) // many * (many - 1)
    found[state.place[last:]] = state.best[last:]
    return found, fell


def _step(state: _Climb, norm: str, eps: float, *, share: float) -> None:
    ball = norm_geometry(norm)

    def project(points: Tensor) -> Tensor:
        return state.images + fit_box(state.images, ball.project(points - state.images, eps))

    gradient = state.gradient.nan_to_num(nan=0.0)  # a part that is NaN costs the attack that pixel, not the image
    ahead = project(state.at + state.step_size * ball.steepest(gradient))
    if share < 1:
        ahead = project(state.at + share * (ahead - state.at) + (1 - share) * (state.at - state.before))
    state.before, state.at = state.at, ahead


def _keep_best(state: _Climb) -> None:
    better = state.value > state.best_value
    rows = better.view(-1, 1, 1, 1)
    state.best = torch.where(rows, state.at, state.best)
    state.best_gradient = torch.where(rows, state.gradient, state.best_gradient)
    state.best_value = torch.where(better, state.value, state.best_value)


def _check(state: _Climb, length: int) -> None:
    """Halve the step size and go back to the best point where too few steps rose, or a whole stretch gained nothing."""
    stalled = ~state.was_halved & (state.best_value == state.checked_value)
    halve = (state.rises < _RISING * length) | stalled
    rows = halve.view(-1, 1, 1, 1)
    state.step_size = torch.where(rows, state.step_size / 2, state.step_size)
    state.at = torch.where(rows, state.best, state.at)
    state.gradient = torch.where(rows, state.best_gradient, state.gradient)
    state.value = torch.where(halve, state.best_value, state.value)
    state.was_halved, state.checked_value = halve, state.best_value
    state.rises = torch.zeros_like(state.rises)
