"""User's code that goes on and on."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from hardener.models.choosing.probing import Trials
from hardener.models.code.arguments import Facts
from hardener.models.code.time_limit import time_limit


def go_on() -> None:
    while True:
        pass


def test_a_loop_without_an_end_ends() -> None:
    with pytest.raises(TimeoutError), time_limit(0.05):
        go_on()


def test_it_ends_in_another_thread_too() -> None:
    found: list[BaseException] = []

    def work() -> None:
        try:
            with time_limit(0.05):
                go_on()
        except TimeoutError as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert len(found) == 1


def test_what_ends_by_itself_is_left_alone() -> None:
    for _ in range(200):
        with time_limit(30):
            pass
    for _ in range(30):  # around the very moment
        try:
            with time_limit(0.001):
                sum(range(20_000))
        except TimeoutError:
            pass
        assert sum(range(1000)) == 499_500, "nothing is raised later"
    assert threading.active_count() < 20


def test_a_trial_of_what_goes_on_is_one_that_was_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardener.models.choosing.probing._LONGEST_S", 0.05)
    trial = Trials(Facts(num_classes=2, channels=3, size=(8, 8))).run(go_on)
    assert not trial.built
    assert isinstance(trial.error, TimeoutError)


def test_a_forward_that_goes_on_ends_too_and_no_other_size_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            go_on()
            return x

    monkeypatch.setattr("hardener.models.choosing.probing._LONGEST_S", 0.05)
    for rows in (False, True):
        trial = Trials(Facts(num_classes=2, channels=3, size=(8, 8)), rows=rows).run(Endless, other_sizes=True)
        assert trial.outputs is None
        assert isinstance(trial.error, TimeoutError)
