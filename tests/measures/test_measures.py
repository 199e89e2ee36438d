"""The room's entrance and its catalog."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
import typer
from oracles import linear_problem

from hardener.config.evaluation_record import Evaluation, Measured, MeasuredFigure
from hardener.errors import HardenerError
from hardener.measures import MEASURES, Measure, measures_asked
from hardener.measures.run import Case, Found, measure
from hardener.progress import Silent
from hardener.threat import ThreatModel

ROWS = {"index", "path", "label", "prediction", "clean", "robust", "broken_by", "attack", "distance"}


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def case(count: int = 12, **changes: Any) -> Case:
    model, images, labels = linear_problem(count, (1, 4, 4), seed=1)
    right = torch.ones(count, dtype=torch.bool)
    paths = tuple(f"{place}.png" for place in range(count))
    return Case(model, images, labels, paths, right, ThreatModel("linf", 0.05), **changes)


@contextmanager
def toy(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> Iterator[list[Case]]:
    """A measure of the catalog that keeps the cases it is given; its value is an image's first pixel."""
    seen: list[Case] = []

    def look(given: Case) -> Found:
        seen.append(given)
        figure = MeasuredFigure(name="pixels", value=1.0)
        first = given.pixels.flatten(1)[:, 0]
        return Found(Measured(title="Toy", samples=len(given.pixels), figures=[figure]), first)

    monkeypatch.setattr(Measure, "load", lambda entry: look)
    monkeypatch.setattr("hardener.measures.MEASURES", {"toy": Measure("toy:look", "a toy", **facts)})
    yield seen


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_has_the_rooms_signature_and_true_facts(name: str) -> None:
    from hardener.cli.app import app

    entry = MEASURES[name]
    function = entry.load()
    assert list(inspect.signature(function).parameters) == ["case"]
    assert get_type_hints(function) == {"case": Case, "return": Found}
    assert entry.field is None or entry.field in Evaluation.model_fields
    assert (entry.values or name) not in ROWS
    command = typer.main.get_command(app).commands["eval"]  # type: ignore[attr-defined]
    options = {name for param in command.params for name in param.opts}
    assert entry.option is None or f"--{entry.option}" in options


def test_calibration_is_always_measured_and_words_or_names_ask_for_the_rest() -> None:
    assert list(measures_asked([])) == ["calibration"]
    assert list(measures_asked(["curves"])) == ["calibration", "eps-curves", "mean-accuracy", "landscape"]
    assert list(measures_asked(["landscape", "certify"])) == ["calibration", "certification", "landscape"]


def test_a_measure_that_there_is_not_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(
        HardenerError, match="unknown measure 'clevr'. Known: calibration, .*clever, .* Did you mean 'clever'"
    ):
        measures_asked(["clevr"])


def test_a_measure_whose_package_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        HardenerError, match=r"corruptions needs imagecorruptions, which is not installed: .*hardener\[corruptions\]"
    ):
        measures_asked(["corruptions"])


def test_it_sees_at_most_so_many_images_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    for seed in (0, 0, 1):
        with toy(monkeypatch, most_images=5) as seen:
            fields, arrays = measure(case(seed=seed), ["toy"])
        assert fields["measured"]["toy"].samples == 5
        (given,) = seen
        places = [int(path.removesuffix(".png")) for path in given.paths]
        assert places == sorted(set(places))
        whole = case()
        assert torch.equal(given.pixels, whole.pixels[places])
        assert torch.equal(given.labels, whole.labels[places])
        expected = np.full(12, np.nan)
        expected[places] = whole.pixels.flatten(1)[places, 0].numpy()
        np.testing.assert_array_equal(arrays["toy"], expected)
        chosen.append(places)
    assert chosen[0] == chosen[1] != chosen[2]


def test_few_images_are_all_seen_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    with toy(monkeypatch, most_images=100, values="first") as seen:
        _, arrays = measure(case(), ["toy"])
    assert seen[0].paths == case().paths
    assert list(arrays) == ["first"]
    assert not np.isnan(arrays["first"]).any()


def test_what_needs_gradients_is_left_out_where_there_are_none_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reporter = Listening()
    with toy(monkeypatch, gradients=True) as seen:
        assert measure(case(differentiable=False, reporter=reporter), ["toy"]) == ({}, {})
    assert seen == []
    assert reporter.said == ["toy is not measured: it needs gradients"]


def test_a_field_of_the_record_takes_what_its_measure_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    with toy(monkeypatch, field="clever"):
        fields, _ = measure(case(), ["toy"])
    assert list(fields) == ["clever"]


def test_a_case_draws_alike_at_every_call() -> None:
    given = case(seed=4)
    assert torch.equal(torch.rand(3, generator=given.generator()), torch.rand(3, generator=given.generator()))
