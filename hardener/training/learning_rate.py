"""The learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hardener.config.schema import Recipe
from hardener.training.state import TrainingState


def learning_rate(progress: float, *, peak: float, schedule: str, milestones: Sequence[float], warmup: float) -> float:
    """Return the learning rate at a point of the run.

    Args:
        progress: share of the run that is done, in [0, 1].
        peak: the rate after warm-up.
        schedule: `constant`; `cosine`, down to 0 at the end; `step`, a tenth at each milestone.
        milestones: shares of the run, ascending.
        warmup: share of the run over which the rate rises linearly to its peak, in [0, 1).
    """
    if progress < warmup:
        return peak * max(progress / warmup, 0.01)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
    if schedule == "step":
        return float(peak * 0.1 ** sum(progress >= milestone for milestone in milestones))
    return peak


def set_learning_rate(state: TrainingState, recipe: Recipe, share: float) -> None:
    """Give the optimisers the rate that the recipe has for a point of the run, `share` in [0, 1] of it done."""
    settings = recipe.optimizer
    rate = learning_rate(
        share,
        peak=settings.lr,
        schedule=settings.schedule,
        milestones=settings.milestones,
        warmup=min(settings.warmup_epochs / recipe.epochs, 0.5),
    )
    give_rate(state, rate, beta=rate * (recipe.beta_peak / settings.lr) if recipe.beta.lr is None else None)


def give_rate(state: TrainingState, rate: float, *, beta: float | None) -> None:
    """Give the network's optimiser a rate, each level its share, and the learned vector one, where there is a vector.

    Args:
        beta: None leaves that of the vector as it is.
    """
    for group in state.theta.param_groups:
        group["lr"] = rate * group["lr_scale"]
    if state.beta is not None and beta is not None:
        state.beta.param_groups[0]["lr"] = beta
