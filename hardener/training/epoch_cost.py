"""What the epochs of a run cost beside one another, and how many would end within what a time limit leaves."""

from __future__ import annotations

from hardener.config.schema import Recipe
from hardener.vicinity.worst_point import Settings as Ball
from hardener.vicinity.worst_point import steps_at

_CLIMB = 0.63
"""A gradient step of an attack, in natural steps: as measured, it computes no gradients of weights."""
_HEAD = 1 / 3
"""A step that the final layer alone learns by: a forward pass, and next to no backward one."""
_LOOKS = [(part + 0.5) / 8 for part in range(8)]  # at an epoch


class EpochCost:
    """The price of each epoch of a recipe, in natural epochs on whole images."""

    def __init__(self, recipe: Recipe) -> None:
        self._ball, self._resize = recipe.vicinity.find(Ball), recipe.resize
        self._head, self._awp = recipe.network.head_first, recipe.awp
        self._epochs = recipe.epochs

    def all_of(self, epochs: int, *, at_most: bool = False) -> list[float]:
        """Return the prices of a run of so many epochs.

        Args:
            at_most: where `schedule: auto` may let eps rise at once, it does.
        """
        return [
            sum(self._price(epoch, (epoch + look) / epochs, at_most) for look in _LOOKS) / len(_LOOKS)
            for epoch in range(epochs)
        ]

    def fitting(self, budget: float, *, over: float = 0.0) -> int:
        """Return how many epochs a run may have, at most as many as the recipe, so that it costs no more.

        Args:
            over: by how much of its last epoch it may.
        """
        least, most = 0, self._epochs
        while least < most:
            tried = (least + most + 1) // 2
            prices = self.all_of(tried, at_most=True)
            least, most = (tried, most) if sum(prices) <= budget + over * prices[-1] else (least, tried - 1)
        return least

    def _price(self, epoch: int, done: float, at_most: bool) -> float:
        ball, resize, price = self._ball, self._resize, 1.0
        if ball is not None:
            quiet = {"constant": 0.0, "ramp": ball.quiet, "auto": 0.0 if at_most else ball.quiet}[ball.schedule]
            price += _CLIMB * steps_at(ball, done) + (ball.agreement > 0) if done > quiet else 0.0
        if self._awp is not None and epoch >= self._awp.warmup_epochs:
            price += 1
        if resize is not None:
            price *= (resize.first + (1 - resize.first) * min(done / resize.full, 1.0)) ** 2
        return price * (_HEAD if epoch < self._head else 1.0)
