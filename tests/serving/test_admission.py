"""Who gets a place for a report when there are few."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from serving.admission import Admission
from serving.problem import Problem
from serving.settings import Settings


class Places:
    """The places of a service for reports, and who holds them."""

    def __init__(self, number: int) -> None:
        self._admission = Admission(Settings(bundles=(), max_reports=number))
        self._held: dict[str, list[ExitStack]] = {}

    def take(self, caller: str) -> int:
        """Return 200, or the status of the refusal."""
        stack = ExitStack()
        try:
            stack.enter_context(self._admission.report(caller))
        except Problem as problem:
            return problem.status if problem.headers["Retry-After"] == "5" else 0
        self._held.setdefault(caller, []).append(stack)
        return 200

    def give_back(self, caller: str) -> None:
        """End one of a caller's reports."""
        self._held[caller].pop().close()


def test_one_caller_alone_leaves_a_place_for_another() -> None:
    places = Places(4)
    assert [places.take("a") for _ in range(5)] == [200, 200, 200, 429, 429]
    assert [places.take("b") for _ in range(2)] == [200, 503]


def test_a_place_that_is_given_back_goes_to_whoever_has_less_than_its_share() -> None:
    places = Places(4)
    assert [places.take(caller) for caller in "aaab"] == [200] * 4
    places.give_back("a")
    assert places.take("a") == 429
    assert places.take("b") == 200
    places.give_back("a")
    assert [places.take(caller) for caller in "bac"] == [429, 200, 503]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_places_are_used_all_the_same(number: int) -> None:
    places = Places(number)
    assert [places.take(str(caller)) for caller in range(number + 1)] == [200] * number + [503]


def test_many_callers_are_forgotten_when_they_have_nothing_in_work() -> None:
    places = Places(4)
    for caller in range(100):
        assert places.take(str(caller)) == 200
        places.give_back(str(caller))
    assert [places.take("a") for _ in range(4)] == [200, 200, 200, 429]
