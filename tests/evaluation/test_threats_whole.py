"""Whole evaluations under threats without a norm: record, report, resume, a file without gradients, and bad input."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import TINY_MODEL, write_image_folder

from hardener.config.evaluation_record import EvaluatedChange, Evaluation
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, Paused
from hardener.evaluation.pause import Partial
from hardener.evaluation.plan import EvaluateRequest, make_plan
from hardener.evaluation.questions import OF_A_BALL
from hardener.evaluation.run import evaluate_onnx, evaluate_run
from hardener.exporters.run import export
from hardener.progress import EpochMetrics, Silent
from hardener.reports.command import eval_command
from hardener.threat import THREATS
from hardener.training.run import TrainRequest, train


class Quiet(Silent):
    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        pass


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    home = tmp_path_factory.mktemp("changed")
    data = write_image_folder(home / "imgs", {"bird": 30, "cat": 30, "dog": 30}, size=(8, 8))
    (home / "tiny.py").write_text(TINY_MODEL)
    recipe = load_recipe("natural").model_copy(update={"epochs": 2, "batch_size": 16})
    return train(
        TrainRequest(str(home / "tiny.py"), data, recipe, device="cpu", out=home / "runs", name="run"), Quiet()
    )


def evaluate(run: RunFolder, **asked: Any) -> Evaluation:
    given: dict[str, Any] = {"samples": 9, "device": "cpu", "precision": "float32"} | asked
    found = evaluate_run(run, EvaluateRequest(**given), Silent())
    assert found is not None
    return found[0]


@pytest.mark.parametrize("kind", THREATS)
def test_a_threat_runs_its_own_attacks_and_stands_in_record_and_report(run: RunFolder, kind: str) -> None:
    found = evaluate(run, threat=kind, settings={"queries": 12})
    assert isinstance(found.threat, EvaluatedChange)
    assert found.threat.kind == kind
    assert found.threat.given == []
    assert [attack.name for attack in found.attacks if attack.name != "audit"] == list(THREATS[kind].attacks)
    assert found.not_run == []
    assert found.distances is None
    assert {check.id for check in found.checks if check.raised is None} >= OF_A_BALL
    assert {check.id for check in found.checks if check.raised is not None} >= {"answers-differ", "batch-dependent"}
    assert found.request is not None
    assert (found.request.threat, found.request.eps, found.request.attacks) == (kind, None, [])
    assert found.per_image is not None
    with np.load(run.evaluations / found.per_image) as arrays:
        assert np.isnan(arrays["distance"]).all()
    page = html.unescape(run.report.read_text())
    assert found.threat.reach.split(";")[0] in page
    assert f"Robust accuracy, {kind}" in page
    fell = sum(attack.broken for attack in found.attacks) > 0
    assert fell or kind == "patch", "2 of 8 pixels break none of these"
    told = {"spatial": "<br>turned by ", "camera": "<br>rotation ", "patch": "<br>a square of "}[kind]
    assert (told in page) == fell, "the values that broke an image stand below it"
    assert f"hardener eval {run.path} --threat {kind} --queries 12" in str(eval_command(found.request))
    assert "smallest&nbsp;change" not in page


def test_ranges_that_were_given_are_told_and_wider_ones_break_no_less(run: RunFolder) -> None:
    few = {"queries": 27}
    narrow = evaluate(run, threat="spatial", ranges={"rotation": "-5,5", "shift": "0,0"}, settings=few)
    wide = evaluate(run, threat="spatial", settings=few)
    assert narrow.robust_accuracy >= wide.robust_accuracy
    assert str(narrow.threat.model) == "spatial (rotation -5 to 5, shift 0 to 0)"
    still = evaluate(run, threat="spatial", ranges={"rotation": (0, 0), "shift": (0, 0)}, settings=few)
    assert still.robust_accuracy == still.clean_accuracy
    again = Evaluation.model_validate_json(json.dumps(narrow.model_dump(by_alias=True)))
    assert again.threat.model == narrow.threat.model


def test_an_interrupted_one_goes_on_and_gives_the_same(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"threat": "spatial", "batch_size": 4, "settings": {"queries": 12}}
    straight = evaluate(run, **asked)
    plain, calls = Partial.keep, 0

    def interrupting(self: Any, standing: Any, choice: Any) -> None:
        nonlocal calls
        plain(self, standing, choice)
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Partial, "keep", interrupting)
        with pytest.raises(Paused, match="the same command goes on from here"):
            evaluate(run, **asked)
    kept = list(run.evaluations.glob(".partial-*.pt"))
    assert len(kept) == 1
    other = evaluate(run, **{**asked, "ranges": {"rotation": (-10, 10)}})
    assert other.threat.model != straight.threat.model
    assert list(run.evaluations.glob(".partial-*.pt")) == kept, "another threat does not go on from it"
    resumed = evaluate(run, **asked)
    assert [(a.attacked, a.broken) for a in resumed.attacks] == [(a.attacked, a.broken) for a in straight.attacks]
    assert list(run.evaluations.glob(".partial-*.pt")) == []


def test_a_file_without_gradients_is_searched_and_the_card_tells_of_it(run: RunFolder, tmp_path: Path) -> None:
    evaluate(run, threat="spatial", settings={"queries": 12})
    export(run, Silent())
    card = (run.bundle / "model_card.md").read_text()
    assert "## Under changes that no norm describes" in card
    assert "| spatial | test |" in card
    assert "hardener eval run --data DIR --threat spatial" in card
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((run.bundle / "model.onnx").read_bytes())
    for kind in THREATS:
        request = EvaluateRequest(
            threat=kind, settings={"queries": 12}, data=run.path.parent.parent / "imgs", device="cpu", samples=9
        )
        made = evaluate_onnx(alone, request, Silent())
        assert made is not None
        names = {attack.name for attack in made[0].attacks} - {"audit"}
        assert names == set(THREATS[kind].attacks) - {"box-pgd"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"threat": "spatial", "norm": "l2"}, "--norm is for a ball, and --threat spatial is none: leave out one"),
        ({"threat": "spatial", "eps": 0.1}, "--eps is for a ball, and --threat spatial is none"),
        ({"threat": "spatail"}, "unknown threat 'spatail'. Known: .* Did you mean 'spatial'"),
        ({"threat": "l2"}, "l2 is a norm: ask for it by --norm l2 --eps EPS"),
        ({"ranges": {"rotation": "-5,5"}}, "--set rotation is a range of a threat: name it by --threat NAME"),
        (
            {"threat": "spatial", "ranges": {"rotation": "15,-15"}},
            "rotation is out of order: .* so write -15,15 for 15",
        ),
        ({"threat": "spatial", "ranges": {"rotation": "5,15"}}, "rotation must hold 0, which changes nothing"),
        ({"threat": "spatial", "ranges": {"rotation": "-500,0"}}, "rotation lies in -180,180; got -500,0"),
        ({"threat": "spatial", "ranges": {"rotation": "15"}}, "rotation takes two numbers, LOW,HIGH; got '15'"),
        ({"threat": "spatial", "ranges": {"rotation": "a,b"}}, "rotation takes two numbers: expected a number"),
        ({"threat": "spatial", "ranges": {"rotaton": "0,1"}}, "no setting 'rotaton'. .* Did you mean 'rotation'"),
        ({"threat": "spatial", "suite": "fast"}, "--suite is for a ball: --threat spatial brings its own attacks"),
        (
            {"threat": "spatial", "attacks": ("pgd",)},
            "pgd moves in the ball of a norm, and spatial is none. Choose from",
        ),
        ({"threat": "camera", "attacks": ("box-pgd",)}, "follows gradients, and camera has none.* from box-search.$"),
        ({"threat": "camera", "attacks": ("grid-search",)}, "camera has too many values for one. .* from box-search.$"),
        ({"threat": "patch", "ranges": {"area": "2"}}, "patch: area should be less than or equal to 1; got '2'"),
        ({"threat": "patch", "ranges": {"area": "x"}}, "patch: area should be a number; got 'x'"),
        ({"attacks": ("box-search",)}, "box-search knows no norm: .* Add --threat spatial, camera or patch"),
        ({"threat": "spatial", "sections": frozenset({"curves"})}, "--curves looks into a ball: ask for it without"),
        ({"threat": "spatial", "settings": {"random_start": True}}, "--random-start is for no attack that was asked"),
        ({"threat": "spatial", "attacks": ("box-serch",)}, "unknown attack 'box-serch'. Known: .* mean 'box-search'"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(HardenerError, match=message) as error:
        make_plan(EvaluateRequest(**asked))
    assert "\n" not in str(error.value)


def test_restarts_are_of_searches_that_draw() -> None:
    plans = make_plan(EvaluateRequest(threat="spatial", restarts=3)).attacks
    assert {plan.name: plan.restarts for plan in plans} == {"grid-search": 1, "box-pgd": 3, "box-search": 3}
