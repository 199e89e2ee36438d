"""The eps that a run trains against, from step to step: constant, a ramp, or one that follows the validation split."""

from __future__ import annotations

import math

from hardener.config.kept_eps import NEARLY
from hardener.config.schema import Recipe
from hardener.training.order import usable_of
from hardener.training.state import TrainingState
from hardener.vicinity.worst_point import Settings as Ball
from hardener.words import counted

STEP = 1 / 8
"""Of the recipe's eps: what `auto` rises by ahead of the ramp, and falls by after a collapse."""
CONVERGED = 0.01
"""Accuracy that an epoch must gain at one eps, or `auto` takes training to be done there."""


def short_ramp(recipe: Recipe, images: int, world: int) -> str | None:
    """Say where a run has so few steps that none of them comes to the eps that a ramp leads to; None: one does.

    Args:
        images: of the training split.
        world: processes that share them.
    """
    ball = recipe.vicinity.find(Ball)
    if ball is None or ball.schedule == "constant":
        return None
    together = recipe.batch_size * world
    each = math.ceil(usable_of(images, together=together, world=world) / together)
    steps, nearly = recipe.epochs * each, ball.quiet + NEARLY * (ball.full - ball.quiet)
    if (steps - 1) / steps >= nearly:
        return None
    enough = math.ceil(1 / (1 - nearly) / each)
    return (
        f"eps rises over the run, which is too short for it with {counted(steps, 'step')}: it never comes to what is "
        f"asked for. Take --epochs {enough} or more, or a smaller --batch-size"
    )


class EpsSchedule:
    """Gives a method's attack its share of eps, and judges epochs where the recipe says `schedule: auto`.

    `auto` is at the ramp or ahead of it: an epoch that gains less than `CONVERGED` over the best one at the same share
    lets the share rise by `STEP`. After a collapse it has a lid, `STEP` below the share that collapsed, to the end of
    the run: lifted again, training collapsed again at the same share.

    Note: all that it remembers lies in the state, so that a run that is resumed goes on as it would have.
    Source: the ramp: arXiv 2509.23325; the rules of `auto` are ours.
    """

    def __init__(self, state: TrainingState) -> None:
        self.state = state
        self._climb = state.method.progression
        if self._climb is not None and self._climb.schedule == "constant":
            self._climb = None

    @property
    def answers_collapse(self) -> bool:
        """Whether it answers a collapse by itself; it does so once, after that more gradient steps are needed too."""
        return self._climb is not None and self._climb.schedule == "auto" and self.state.rollbacks == 0

    def before_step(self, done: float) -> None:
        """Set the attack's share of eps, and its steps, for a step at a share `done` of the run, in [0, 1]."""
        self.state.method.mark(done)
        if self._climb is not None:
            self.state.method.eps_share = self._share(done)

    def stage(self, eps: float | None) -> int:
        """Tell how far an epoch had come that ended at this eps: 2, to the one that the run is to come to, or nearly;
        1, not so far; 0, its attack had not begun. `auto` may lower what it is to come to."""
        if self._climb is None or eps is None or eps >= NEARLY * self.state.eps_lid * self._climb.eps:
            return 2
        return 1 if eps > 0 else 0

    def after_epoch(self, clean: float, robust: float) -> None:
        """Let `auto` judge an epoch that did not collapse, by its accuracies on the validation split."""
        state, share = self.state, self.state.method.eps_share
        if self._climb is None or self._climb.schedule != "auto":
            return
        score = clean if share == 0 else (clean + robust) / 2
        if share > state.eps_level:  # the ramp has moved on: another eps, whose epochs are compared among themselves
            state.eps_level, state.eps_best = share, score
        elif score - state.eps_best >= CONVERGED:
            state.eps_best = score
        else:
            state.eps_level, state.eps_best = min(state.eps_level + STEP, 1.0), -1.0

    def fall_back(self, collapsed_share: float) -> None:
        """Hold eps below the share that training has collapsed at; training is back at a state from before."""
        if self._climb is not None and self._climb.schedule == "auto":
            self.state.eps_lid = max(collapsed_share - STEP, STEP)

    def _share(self, done: float) -> float:
        assert self._climb is not None, "a schedule that is not constant is that of a climb"
        ramped = self._climb.ramp(done)
        if self._climb.schedule == "ramp":
            return ramped
        return min(max(ramped, self.state.eps_level), self.state.eps_lid)
