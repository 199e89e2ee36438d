"""How much is in work, and the refusal of what would be too much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .problem import Problem
from .settings import Settings


class Admission:
    """Counts requests, reports and the bytes of bodies. It belongs to one event loop, so it needs no lock."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing in work."""
        self._settings = settings
        self._requests = 0
        self._reports: Counter[str] = Counter()
        self._held_bytes = 0

    def check_requests(self) -> None:
        """Refuse a request where as many as may be are in work.

        Raises:
            Problem: 503.
        """
        if self._requests >= self._settings.max_requests:
            raise busy("too many requests are in work")

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request whose body is here; one that trickles in must not keep others out.

        Raises:
            Problem: 503 as `check_requests` does.
        """
        self.check_requests()
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    @contextmanager
    def report(self, caller: str) -> Iterator[None]:
        """Count a report.

        Of the places, a caller may take its share of those who are here; one alone takes all but the last, which is
        kept for somebody else.

        Args:
            caller: a token's name, or where there are none a client's network.
        Raises:
            Problem: 503 as many as may be are in work; 429 this caller has its share.
        """
        places = self._settings.max_reports
        free = places - self._reports.total()
        mine = self._reports[caller]
        if free <= 0:
            raise Problem(503, "too many reports are in work. Try again shortly, or without report.", retry_after_s=5)
        callers = len(self._reports.keys() | {caller})
        share = max(1, places // max(2, callers))
        if free == 1 and mine >= share:
            detail = f"{mine} reports of this caller are in work, and the last of {places} places is kept for others."
            raise Problem(429, f"{detail} Try again when one of them is done, or without report.", retry_after_s=5)
        self._reports[caller] += 1
        try:
            yield
        finally:
            self._reports[caller] -= 1
            if not self._reports[caller]:
                del self._reports[caller]

    @contextmanager
    def body(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a request's body for as long as it is in work.

        Yields:
            hears of each piece's size. Raises `Problem`: 503 all bodies together are too large.
        """
        mine = 0

        def hold(count: int) -> None:
            nonlocal mine
            if self._held_bytes + count > self._settings.max_held_bytes:
                raise busy("the bodies of other requests fill the memory")
            mine += count
            self._held_bytes += count

        try:
            yield hold
        finally:
            self._held_bytes -= mine


def busy(why: str) -> Problem:
    """Make the refusal of a request that may well be answered in a moment."""
    return Problem(503, f"{why}. Try again shortly.", retry_after_s=1)
