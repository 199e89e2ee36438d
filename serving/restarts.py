"""When a worker that died is replaced, and when it is no use to go on."""

from __future__ import annotations

import time
from collections.abc import Callable

from hardener.config.serving_limits import FIXED

QUICK_S = float(FIXED["quick_death_s"].value)  # a worker that lived shorter than this is likely to die again
_FIRST_S, _MOST_S = 0.5, 15.0
_FORGET_S = 60.0


class Restarts:
    """A death after a long life costs no time; quick ones cost 0.5, 1, 2, … s, and `most` in a row end the service."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._quick = 0
        self._last = -_FORGET_S
        self._not_before = 0.0

    def died(self, lived_s: float) -> bool:
        """Hear of a death; False: enough, nothing should be started any more."""
        now = self._clock()
        if lived_s >= QUICK_S or now - self._last > _FORGET_S:
            self._quick = 0
        if lived_s < QUICK_S:
            self._quick += 1
            self._not_before = now + min(_FIRST_S * 2 ** (self._quick - 1), _MOST_S)
        self._last = now
        return self._quick < self._most

    def wait_s(self) -> float:
        """Return the seconds until the next worker may start."""
        return max(0.0, self._not_before - self._clock())

    @property
    def quick(self) -> int:
        """Quick deaths, one after another."""
        return self._quick
