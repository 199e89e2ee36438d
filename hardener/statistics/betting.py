"""Tests of a share that may stop at any time: what is bet against a claim, and how much it wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_STEPS = np.array([1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 15 / 16, 1.0])
"""How far from the claimed share towards the end of the scale each of the gamblers believes the true one to lie."""

DOUBT = 0.05
"""The chance, at most, that a share is given up although the draws allowed would just certify it."""


def log_wealth_above(successes: ArrayLike, n: ArrayLike, share: ArrayLike) -> NDArray[np.float64]:
    """Return the log of what a stake of 1 has become that is bet against "the share is at most `share`".

    It is shared alike by gamblers of whom each bets the same part of his wealth on every draw: one who believes in the
    share q wins q / share at a success and (1 - q) / (1 - share) at a failure, which is a fair game at most as long as
    the claim is true. So the chance that the wealth ever reaches 1 / alpha is at most alpha if the claim is true
    (Ville), whatever is looked at in between, and the draws may end as soon as it does.

    Args:
        successes: in [0, n], any shape.
        n: draws so far, >= 0.
        share: in (0, 1).
    Returns:
        Shaped as the arguments broadcast together.
    Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024), the
        hedged wealth of constant bets; Voracek, "Treatment of Statistical Estimation Problems in Randomized Smoothing
        for Adversarial Robustness", NeurIPS 2024, which decides a certified radius by it.
    """
    won, lost, claimed = np.broadcast_arrays(
        np.asarray(successes, np.float64), np.asarray(n, np.float64) - np.asarray(successes, np.float64), share
    )
    q = claimed[..., None] + (1 - claimed[..., None]) * _STEPS
    with np.errstate(divide="ignore", invalid="ignore"):
        at_failure = np.where(lost[..., None] > 0, lost[..., None] * np.log((1 - q) / (1 - claimed[..., None])), 0.0)
    each: NDArray[Any] = won[..., None] * np.log(q / claimed[..., None]) + at_failure
    top = each.max(axis=-1)
    wealth: NDArray[np.float64] = top + np.log(np.exp(each - top[..., None]).mean(axis=-1))
    return wealth


def log_wealth_below(successes: ArrayLike, n: ArrayLike, share: ArrayLike) -> NDArray[np.float64]:
    """As `log_wealth_above`, bet against "the share is at least `share`"."""
    failures = np.asarray(n, np.float64) - np.asarray(successes, np.float64)
    return log_wealth_above(failures, n, 1 - np.asarray(share, np.float64))


def lower_bound(successes: int, n: int, alpha: float) -> float:
    """Return the largest share that the draws so far rule out from below at level `alpha`, whenever they are looked at.

    Where the Clopper-Pearson bound holds for a number of draws that was fixed before, this one holds for all numbers at
    once: the chance that it ever lies above the true share is at most alpha. So the draws may end for any reason.

    Args:
        successes: in [0, n].
        n: draws, >= 0.
        alpha: in (0, 1).
    Returns:
        In [0, 1); the wealth that is bet against "the share is at most this" has become 1 / alpha, or this is 0.
    """
    low, high = 0.0, 1.0  # the wealth falls as the claimed share rises
    for _ in range(50):
        middle = (low + high) / 2
        if log_wealth_above(successes, n, middle) >= -math.log(alpha):
            low = middle
        else:
            high = middle
    return low


def _certified_by(shares: NDArray[np.float64], n: int, alpha: float) -> NDArray[np.float64]:
    """Return the smallest share of successes among `n` draws that certifies each of these shares, below 1."""
    low, high = shares.copy(), np.ones_like(shares)  # the wealth rises with the successes
    for _ in range(50):
        middle = (low + high) / 2
        enough = log_wealth_above(n * middle, n, shares) >= -math.log(alpha)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.minimum(high, 1 - 1e-12)  # a claim of 1 leaves no odds


class Contest:
    """Tests of several things at once, each against claims on its share of successes that rise one after the other.

    Of each, a share counts as certified once the stake against "it is at most this" has become 1 / alpha, and is then
    followed by the next; as refused, and then all larger ones with it, once that against "it is at least this" has.
    The chance that a share is ever certified that is not exceeded is at most alpha for each thing: the first such
    share is tested only while all smaller ones hold.

    Where the draws are known to end, a share is given up, and all larger ones with it, once the stake against "what
    succeeds is as much as could certify it by then" has become 1 / `DOUBT`. That certifies nothing, so it makes no
    certificate wrong. It costs one, with the chance `DOUBT` at most, where exactly that much succeeds or more.

    Attributes:
        certified: (N,) int64, of how many shares, from the smallest on, it is settled that they are exceeded.
        open: (N,) bool, whether the next one is not settled yet.
        given_up: (N,) bool, whether the next one is neither settled nor tested any longer.
    """

    def __init__(self, shares: Sequence[float], count: int, alpha: float, last: int | None = None) -> None:
        """Make the tests; `last` is the number of draws at which they end, None: they may go on."""
        self._shares, self._enough = np.asarray(shares, np.float64), -math.log(alpha)
        self._needed = None if last is None else _certified_by(self._shares, last, alpha)
        self.certified = np.zeros(count, np.int64)
        self.open = np.full(count, len(shares) > 0)
        self.given_up = np.zeros(count, np.bool_)

    def take(self, where: NDArray[np.int64], successes: NDArray[np.int64], n: int) -> None:
        """Look at all successes so far of some things, of `n` draws each."""
        left, won = where[self.open[where]], successes[self.open[where]]
        while len(left):
            share = self._shares[self.certified[left]]
            above = log_wealth_above(won, n, share) >= self._enough
            below = ~above & (log_wealth_below(won, n, share) >= self._enough)
            self.open[left[below]] = False
            if self._needed is not None:
                lost = ~above & ~below & (
                    log_wealth_below(won, n, self._needed[self.certified[left]]) >= -math.log(DOUBT)
                )  # fmt: skip
                self.given_up[left[lost]], self.open[left[lost]] = True, False
            self.certified[left[above]] += 1
            left, won = left[above], won[above]
            done = self.certified[left] == len(self._shares)
            self.open[left[done]] = False
            left, won = left[~done], won[~done]
