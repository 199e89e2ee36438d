from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hardener.data.wait_time import WaitTime


class Clock:
    """A clock that goes on only when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_time_in_the_source_counts_and_time_in_the_consumer_does_not(clock: Clock) -> None:
    def source() -> Iterator[int]:
        for item in range(3):
            clock.now += 2
            yield item
        clock.now += 1

    wait_time = WaitTime()
    for _ in wait_time(source()):
        clock.now += 100
    assert wait_time.seconds == 3 * 2 + 1
    wait_time.seconds = 0
    assert list(wait_time([1, 2])) == [1, 2]
    assert wait_time.seconds == 0


def test_closing_early_closes_the_source_and_errors_pass_through(clock: Clock) -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield 1
            clock.now += 5
            raise ValueError("torn")
        finally:
            closed.append(True)

    wait_time = WaitTime()
    items = wait_time(source())
    assert next(items) == 1
    items.close()  # type: ignore[attr-defined]
    assert closed == [True]
    with pytest.raises(ValueError, match="torn"):
        list(wait_time(source()))
    assert closed == [True, True]
    assert wait_time.seconds == 5
