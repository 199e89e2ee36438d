"""Auto-PGD: the ascent that `apgd` and `apgd-t` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from hardener.attacks._apgd_rows import HalvingRows, Rows, SparseRows
from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.attacks._layout import fast_layout
from hardener.attacks._precision import misclassified
from hardener.geometry import NORMS, fit_box, norm_geometry

_WIDER = ((3, 0.3), (2, 0.3))
"""Times eps, and the share of the steps that l1-APGD takes there before the rest at eps itself."""
_FEWEST_FOR_WIDER = 10


@dataclass(frozen=True)
class Climb:
    """Where and how Auto-PGD climbs.

    Attributes:
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        eot_draws: passes that each gradient is averaged over.
        bf16: take gradients and objective in bfloat16; that a point is misclassified is for float32 to say.
    """

    norm: str
    eps: float
    steps: int
    random_start: bool
    eot_draws: int
    bf16: bool


def climb(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    objective: Callable[..., Tensor],
    ascent: Climb,
    *,
    targets: Tensor | None = None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Climb an objective with steps that halve themselves; an image leaves as soon as a row of it is misclassified.

    In a norm whose steps are sparse, the steps change fewer and fewer values instead, and six tenths of them are taken
    in balls of three and two times eps, each from the best point of the ball before.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        objective: (logits, labels) -> (N,), to be maximised; called with `targets=` too where they are given.
        ascent: where and how it climbs.
        targets: (N, T) int64, the classes that each image is driven to, each from a start of its own.
        generator: of the random start.
    Returns:
        (N, C, H, W), inside ball and box: the first misclassified point of an image, or the one with the largest
        objective for its last target; (N,) bool, True where the image is misclassified there.
    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020, Algorithm 1; for l1 "Mind the box: l1-APGD for Sparse Adversarial Attacks on Image
        Classifiers", ICML 2021.
    """
    norm, ball = ascent.norm, norm_geometry(ascent.norm)
    many = 1 if targets is None else targets.shape[1]
    clean, truth = fast_layout(images.repeat(many, 1, 1, 1)), labels.repeat(many)
    goals = truth if targets is None else targets.T.reshape(-1)
    view = _View(model, objective, targets is not None, ascent.eot_draws, ascent.bf16)
    place = torch.arange(len(images), device=images.device).repeat(many)
    stretches = _stretches(norm, ascent.eps, ascent.steps)

    start = clean
    if ascent.random_start:
        start = clean + fit_box(clean, ball.random_point(clean, stretches[0][0], generator))
    for number, (radius, count) in enumerate(stretches):
        logits, value, gradient = view.look(start, truth, goals)
        common = (place, clean, truth, goals, start, value, gradient, norm, radius, count)
        rows: Rows = SparseRows(*common, is_first=number == 0) if NORMS[norm].is_sparse else HalvingRows(*common)
        if number + 1 < len(stretches):
            _roam(view, rows)
            start = clean + ball.project_in_box(clean, rows.best - clean, stretches[number + 1][0])
    return _fell(view, rows, logits, images, many)


def _stretches(norm: str, eps: float, steps: int) -> list[tuple[float, int]]:
    """Return the radii that are climbed at, one after the other, and the steps at each."""
    if not NORMS[norm].is_sparse or steps < _FEWEST_FOR_WIDER:
        return [(eps, steps)]
    wider = [(times * eps, round(share * steps)) for times, share in _WIDER]
    return [*wider, (eps, steps - sum(count for _, count in wider))]


@dataclass
class _View:
    """How the rows see the model."""

    model: Classifier
    objective: Callable[..., Tensor]
    aimed: bool
    eot_draws: int
    bf16: bool

    def look(self, points: Tensor, truth: Tensor, goals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, objective and gradient."""
        aim = partial(self.objective, targets=goals) if self.aimed else self.objective
        return value_and_gradient(self.model, points, truth, objective=aim, eot_draws=self.eot_draws, bf16=self.bf16)

    def move(self, rows: Rows, step: int) -> Tensor:
        """Take a step, and return the logits where it ends."""
        rows.advance(step)
        logits, value, gradient = self.look(rows.at, rows.labels, rows.targets)
        rows.judge(value, gradient)
        return logits


def _roam(view: _View, rows: Rows) -> None:
    """Climb in a ball that is wider than eps: what falls there has not fallen."""
    for step in range(rows.steps):
        view.move(rows, step)
        rows.keep_best()
        rows.check(step)


def _fell(view: _View, rows: Rows, logits: Tensor, images: Tensor, many: int) -> tuple[Tensor, Tensor]:
    """Climb in the ball itself, and return what `climb` does; `logits`: where the rows start."""
    found, fell = images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)

    def let_leave(logits: Tensor) -> None:
        broken = misclassified(view.model, rows.at, rows.labels, logits, bf16=view.bf16).view(many, -1)
        if bool(broken.any()):
            falls, first = broken.any(dim=0), broken.int().argmax(dim=0)
            chosen = (first * broken.shape[1] + torch.arange(broken.shape[1], device=first.device))[falls]
            found[rows.place[chosen]] = rows.at[chosen]
            fell[rows.place[chosen]] = True
            rows.keep(~falls.repeat(many))

    let_leave(logits)
    for step in range(rows.steps):
        if len(rows.place) == 0:
            break
        let_leave(view.move(rows, step))  # before a check moves a row from the point that these logits are of
        rows.keep_best()
        rows.check(step)
    last = len(rows.place) // many * (many - 1)
    found[rows.place[last:]] = rows.best[last:]
    return found, fell
