"""A run that ends before its recipe's last epoch: a time limit, or epochs that bring nothing better."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import accumulate

from hardener.config.schema import Recipe
from hardener.training.epoch_cost import EpochCost
from hardener.training.learning_rate import learning_rate
from hardener.vicinity.worst_point import LATE
from hardener.vicinity.worst_point import Settings as Ball
from hardener.words import duration

_TRIED_S = 5.0  # of steps, before they say how long an epoch takes
_CLEARLY = 1.5
_VARIES = 0.25  # of an epoch: by so much epochs vary among themselves
_NEARLY = 0.9  # of the images' own sides
_END = {1: "comes to its end", 2: "come to their ends"}


class TimeLimit:
    """How long a command may take, counted from its own start.

    Args:
        seconds: None for as long as it takes.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds, self._began, self._has_looked_ahead = seconds, time.monotonic(), False

    @property
    def left(self) -> float:
        """Seconds that are left; infinite without a limit."""
        return math.inf if self.seconds is None else self._began + self.seconds - time.monotonic()

    def is_hopeless(self, share: float, took: float) -> bool:
        """Tell whether an epoch of which a share is done, in so many seconds, will clearly not end in time."""
        return took > _TRIED_S and took / share - took > _CLEARLY * max(self.left, 0.0)

    def outlook(self, recipe: Recipe, epochs_done: int, took: float) -> str | None:
        """Say after this command's first epoch, which took so many seconds, how many of the recipe's will end in time.

        Returns:
            None where all do, or where nothing in the recipe hangs on their number.
        """
        first, self._has_looked_ahead = not self._has_looked_ahead, True
        growing = _follows_epochs(recipe)
        if not first or not growing or self.seconds is None or not 0 < epochs_done <= recipe.epochs:
            return None
        cost = EpochCost(recipe)
        costs = cost.all_of(recipe.epochs)
        budget = sum(costs[:epochs_done]) + self.left * costs[epochs_done - 1] / max(took, 1e-9)
        fit = sum(total <= budget for total in accumulate(costs))
        if not epochs_done < fit < recipe.epochs:
            return None
        enough = cost.fitting(budget)
        return (
            f"about {fit} of {recipe.epochs} epochs end within the time limit of {duration(self.seconds)}, and "
            f"{' and '.join(growing)} {_END[len(growing)]} after {recipe.epochs} alone."
        ) + f" A run with --epochs {enough} gets there" * (enough > _least_epochs(recipe))

    def fault(self, share: float, took: float, command: str) -> str:
        """Say that not one epoch fits; `command` goes on with the run."""
        assert self.seconds is not None, "without a limit everything fits"
        before = max(self.seconds - self.left - took, 0.0)
        epoch = took / share if share else _CLEARLY * self.seconds
        enough = math.ceil(2 * (before + epoch) / 60)
        return (
            f"the time limit of {duration(self.seconds)} is shorter than an epoch: one takes about {duration(epoch)} "
            f"here, after {duration(before)} to begin. Nothing is lost; give it more: {command} --time-limit {enough}m"
        )


def _follows_epochs(recipe: Recipe) -> list[str]:
    """Return what changes over a run, so that a run that is cut off lacks the end of it."""
    ball = recipe.vicinity.find(Ball)
    rises = ball is not None and ball.schedule != "constant"
    return ["the learning rate"] * (recipe.optimizer.schedule != "constant") + ["the eps of training"] * rises


def what_is_cut(recipe: Recipe, epochs_done: int, eps_share: float) -> str:
    """Say how far what changes over a run has come after so many epochs, and what comes to its end in as many.

    Args:
        eps_share: of the recipe's eps, what training has come to.
    """
    settings, share = recipe.optimizer, epochs_done / recipe.epochs
    rate = learning_rate(share, peak=1, schedule=settings.schedule, milestones=settings.milestones, warmup=0)
    told = {
        "the learning rate": f"the learning rate was still at {100 * rate:.0f} % of its peak",
        "the eps of training": f"the eps of training had come to {100 * eps_share:.0f} % of what is asked for",
    }
    cut = [told[name] for name in _follows_epochs(recipe)]
    cut += [f"{what} had not begun" for what, epochs in late(recipe) if epochs_done <= epochs]
    cost = EpochCost(recipe)
    enough = cost.fitting(sum(cost.all_of(recipe.epochs)[:epochs_done]), over=_VARIES)
    fits = enough > _least_epochs(recipe)
    return f"; {', and '.join(cut)}." + f" A run with --epochs {enough} gets to the end" * fits if cut else ""


def has_stalled(best_epoch: int, epochs_done: int, patience: int | None, *, settled: int = 0) -> bool:
    """Tell whether as many epochs as `patience` have passed since the best one, counted from 1; None: never.

    Args:
        settled: epochs before which none counts, since something is still to begin; see `settles_after`.
    """
    return patience is not None and epochs_done - max(best_epoch, settled) >= patience


def settles_after(recipe: Recipe) -> int:
    """Return after how many epochs all has begun that a recipe brings in on the way."""
    return max((epochs for _, epochs in late(recipe)), default=0)


def _least_epochs(recipe: Recipe) -> float:
    """Return the number of epochs that a run must have more than, for what counts epochs and not shares of a run."""
    return max(recipe.network.head_first, 0 if recipe.awp is None else recipe.awp.warmup_epochs)


def late(recipe: Recipe) -> Iterator[tuple[str, int]]:
    """Yield what a recipe brings in on the way, and the number of epochs after which it begins, within the next one."""
    epochs, averaging, ball = recipe.epochs, recipe.averaging, recipe.vicinity.find(Ball)
    if recipe.network.head_first:
        yield "training of what lies before the head", recipe.network.head_first
    if averaging is not None:
        yield "the average", max(math.ceil(averaging.begins * epochs) - 1, 0)
    if recipe.resize is not None:
        yield "training on images of their own size", math.ceil(_NEARLY * recipe.resize.full * epochs)
    if recipe.awp is not None:
        yield "the perturbation of weights", math.ceil(recipe.awp.warmup_epochs)
    if ball is not None and (ball.last_steps or 0) > ball.steps:
        yield f"climbing by {ball.last_steps} steps", math.floor(LATE * epochs)
