"""What the epochs of a run cost beside one another, and how many would end within what a time limit leaves."""

from __future__ import annotations

from hardener.config.schema import Recipe
from hardener.vicinity.worst_point import LATE
from hardener.vicinity.worst_point import Settings as Ball

_CLIMB = 0.63
"""A gradient step of an attack, in natural steps: as measured, it computes no gradients of weights."""
_HEAD = 1 / 3
"""A step that the final layer alone learns by: a forward pass, and next to no backward one."""
_VARIES = 0.25  # of an epoch: by so much epochs vary among themselves
_PARTS = 8


def cost_of(recipe: Recipe, epoch: int, epochs: int, *, at_most: bool = False) -> float:
    """Return what an epoch, counted from 0, of a run of so many costs, in natural epochs on whole images.

    Args:
        at_most: where `schedule: auto` may let eps rise at once, it does.
    """
    return (
        sum(_price(recipe, epoch, (epoch + (part + 0.5) / _PARTS) / epochs, at_most) for part in range(_PARTS)) / _PARTS
    )


def epochs_within(recipe: Recipe, budget: float) -> int:
    """Return how many epochs a run of the recipe may have at most, of its own number, so that it costs no more."""
    fit = 0
    for epochs in range(1, recipe.epochs + 1):
        costs = [cost_of(recipe, epoch, epochs, at_most=True) for epoch in range(epochs)]
        if sum(costs) > budget + _VARIES * costs[-1]:
            break
        fit = epochs
    return fit


def _price(recipe: Recipe, epoch: int, done: float, at_most: bool) -> float:
    ball, resize, price = recipe.vicinity.find(Ball), recipe.resize, 1.0
    if ball is not None:
        quiet = {"constant": 0.0, "ramp": ball.quiet, "auto": 0.0 if at_most else ball.quiet}[ball.schedule]
        steps = max(ball.steps, ball.last_steps or 0) if done >= LATE else ball.steps
        price += _CLIMB * steps + (ball.agreement > 0) if done > quiet else 0.0
    if recipe.awp is not None and epoch >= recipe.awp.warmup_epochs:
        price += 1
    if resize is not None:
        price *= (resize.first + (1 - resize.first) * min(done / resize.full, 1.0)) ** 2
    return price * (_HEAD if epoch < recipe.network.head_first else 1.0)
