"""Whole evaluations on a tiny run: suites, surrogates, ONNX files, interruption, several processes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import TINY_MODEL, write_image_folder
from torch import nn

import hardener.evaluation.run as room
from hardener.attacks import ATTACKS
from hardener.config.evaluation_record import Evaluation, Precision
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.data.loader import ImageShape
from hardener.errors import HardenerError, Paused
from hardener.evaluation import faster_answers, pause
from hardener.evaluation.other_size import check_size
from hardener.evaluation.pause import Partial
from hardener.evaluation.plan import EvaluateRequest, make_plan, planned_attacks, wants_surrogate
from hardener.evaluation.precision import Choice, choose_precision
from hardener.evaluation.run import evaluate_onnx, evaluate_run, evaluate_run_at
from hardener.evaluation.suite import SUITES, left_out, most_passes, suite_plans
from hardener.exporters.run import export
from hardener.measures import MEASURES
from hardener.models.normalize import ImageClassifier
from hardener.progress import EpochMetrics
from hardener.training.run import TrainRequest, train
from hardener.training.surrogate import surrogate_of


class Quiet:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        pass

    @contextmanager
    def track(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count

        yield advance
        assert total == 0 or done <= total, f"{what}: {done} of {total}"  # 0: nobody knows how many

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        pass


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    home = tmp_path_factory.mktemp("evaluated")
    data = write_image_folder(home / "imgs", {"bird": 40, "cat": 40, "dog": 40})
    model = home / "tiny.py"
    model.write_text(TINY_MODEL)
    recipe = load_recipe("natural").model_copy(update={"epochs": 4, "batch_size": 16})
    return train(TrainRequest(str(model), data, recipe, device="cpu", out=home / "runs", name="run"), Quiet())


def evaluate(run: RunFolder, **asked: Any) -> Evaluation:
    found = evaluate_run(run, EvaluateRequest(device="cpu", **asked), Quiet())
    assert found is not None
    return found[0]


def test_every_suite_names_attacks_that_there_are_and_says_what_it_leaves_out() -> None:
    assert left_out(suite_plans("full")) == []
    assert "AutoAttack's standard suite" in left_out(suite_plans("quick"))
    assert "AutoAttack's standard suite" not in left_out(suite_plans("standard"))
    for name in SUITES:
        assert make_plan(EvaluateRequest(suite=name, surrogate=RunFolder(Path("somewhere")))).suite == name
    with pytest.raises(
        HardenerError, match="unknown suite 'ful'. Known: fast, quick, standard, full. Did you mean 'full'"
    ):
        suite_plans("ful")


def test_the_most_passes_count_steps_targets_and_queries() -> None:
    plans = {plan.name: plan for plan in make_plan(EvaluateRequest(suite="standard")).attacks}
    assert most_passes(plans["apgd"], 10, "linf")[1] == 100
    assert most_passes(plans["apgd-t"], 10, "linf")[1] == 900
    assert most_passes(plans["apgd-t"], 3, "linf")[1] == 200
    assert most_passes(plans["square"], 10, "linf") == (5000, 0)


def test_a_run_is_asked_at_another_size_and_the_run_keeps_nothing_of_it(run: RunFolder, tmp_path: Path) -> None:
    before = sorted(path.name for path in run.path.rglob("*"))
    asked = EvaluateRequest(attacks=("fgsm",), eps=0.1, samples=4, device="cpu", json_file=tmp_path / "at.json")
    found = evaluate_run_at(run, replace(asked, image_size=(12, 10)), Quiet())
    assert found is not None
    evaluation, file = found
    assert file == tmp_path / "at.json"
    assert evaluation.request is not None
    assert evaluation.request.image_size == (12, 10)
    assert [flag.id for flag in evaluation.flags][:1] == ["other-size"]
    assert sorted(path.name for path in run.path.rglob("*")) == before


def test_a_network_that_takes_one_size_alone_is_refused_at_another() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    small, large = ImageShape(8, 8, 1), ImageShape(16, 16, 1)
    said = "runs/a was trained at 8x8 and does not take images of 16x16: RuntimeError: .*Leave out --image-size"
    with pytest.raises(HardenerError, match=said):
        check_size(ImageClassifier(network, mean=[], std=[], classes=["a", "b"]), large, small, "runs/a")


def test_the_standard_suite_ends_to_end_with_every_section(run: RunFolder) -> None:
    sections = frozenset({"invariance", "certify", "clever", "curves"})
    found = evaluate(run, suite="standard", eps=0.02, samples=6, sections=sections)
    assert [attack.name for attack in found.attacks][:4] == ["apgd", "apgd-t", "fab-t", "square"]
    assert found.suite == "standard"
    assert found.robust_accuracy == found.attacks[-1].robust_accuracy <= found.clean_accuracy
    assert found.checks
    assert found.calibration is not None
    assert found.invariances
    assert found.certification is not None
    assert found.certification.noise_is_default, "natural trains without noise"
    assert found.clever is not None
    assert found.eps_curves[0].points[0].accuracy == found.clean_accuracy
    assert found.distances is not None
    rows = np.load(run.evaluations / str(found.per_image))
    assert rows["robust"].mean() == found.robust_accuracy
    assert set(rows) >= {"index", "path", "label", "clean", "attack", "distance", "certified_radius", "clever"}
    assert ((rows["distance"] > 0) == rows["clean"]).all()
    page = run.report.read_text()
    assert found.verdict in page.lower()
    assert "0.1, a default: its training has no noise on record" in page


def test_the_suite_fast_draws_its_curve_by_one_sweep_and_others_by_their_attacks(run: RunFolder) -> None:
    asked = {"eps": 0.02, "samples": 6, "sections": frozenset({"curves"})}
    swept = evaluate(run, suite="fast", **asked)
    (curve,) = swept.eps_curves
    assert (curve.attack, swept.went_on) == ("fast", None)
    assert curve.points[0].accuracy == swept.clean_accuracy
    assert [curve.attack for curve in evaluate(run, attacks=("pgd",), **asked).eps_curves] == ["pgd"]


def test_settings_choose_pgd_and_a_suite_takes_none() -> None:
    assert planned_attacks(EvaluateRequest(settings={"steps": 3})) == ["pgd"]
    assert [plan.name for plan in make_plan(EvaluateRequest()).attacks] == [plan.name for plan in suite_plans("fast")]
    for asked, message in (
        ({"attacks": ("pgd",), "suite": "quick"}, "choose --attack or --suite, not both"),
        ({"suite": "quick", "settings": {"steps": 3}}, "--steps is for attacks named by --attack"),
        ({"attacks": ("transfer",)}, "the attack transfer needs --surrogate RUN"),
        ({"norm": "l3"}, "unknown norm 'l3'"),
        ({"attacks": ("fgsm",), "restarts": 2}, "--restarts needs an attack with a random start"),
    ):
        with pytest.raises(HardenerError, match=message):
            make_plan(EvaluateRequest(**asked))


def test_a_norm_that_an_attack_does_not_know_is_said_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTACKS, "bim", replace(ATTACKS["bim"], norms=("l2",)))
    with pytest.raises(HardenerError, match="bim knows l2, not linf"):
        make_plan(EvaluateRequest(attacks=("bim",)))


def test_a_surrogate_is_wanted_by_what_transfers_alone_and_only_once_all_else_is_right() -> None:
    wanting = [name for name in ATTACKS if wants_surrogate(EvaluateRequest(attacks=(name,)))]
    assert wanting == [name for name, entry in ATTACKS.items() if entry.needs_surrogate] != []
    assert [name for name in SUITES if wants_surrogate(EvaluateRequest(suite=name))] == ["full"]
    assert not wants_surrogate(EvaluateRequest(suite="full", surrogate=RunFolder(Path("somewhere"))))
    with pytest.raises(HardenerError, match="unknown precision"):
        wants_surrogate(EvaluateRequest(suite="full", precision="half"))


EXTRAS = {name: entry.extra for name, entry in ATTACKS.items() if entry.extra is not None}
EXTRAS |= {name: entry.package for name, entry in MEASURES.items() if entry.package is not None}


@pytest.mark.parametrize(("name", "module", "extra"), [(name, *extra) for name, extra in EXTRAS.items()])
def test_a_missing_extra_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == module else object())
    asked = {"attacks": (name,)} if name in ATTACKS else {"sections": frozenset({name})}
    with pytest.raises(HardenerError, match=f"{name} needs {module}, which is not installed.*{extra}"):
        make_plan(EvaluateRequest(**asked))


@pytest.mark.slow
@pytest.mark.long
def test_the_record_says_which_attacks_asked_a_copy(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faster_answers, "WORTH_S", 0.0)
    monkeypatch.setattr(
        faster_answers, "_seconds", lambda model, images: 1.0 if isinstance(model, ImageClassifier) else 0.5
    )
    asked: dict[str, Any] = {"attacks": ("bim", "square"), "eps": 0.01, "samples": 8}
    copied, plain = evaluate(run, **asked), evaluate(run, precision="float32", **asked)
    assert ["asked" in attack.settings for attack in copied.attacks] == [False, True]
    assert ["asked" in attack.settings for attack in plain.attacks] == [False, False]
    assert [attack.broken for attack in copied.attacks] == [attack.broken for attack in plain.attacks]


def test_an_interrupted_evaluation_goes_on_and_gives_the_same_result(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"attacks": ("pgd", "bim"), "eps": 0.03, "samples": 8, "batch_size": 4}
    asked["precision"] = "bfloat16"
    straight = evaluate(run, **asked)
    keep, calls = Partial.keep, 0
    chosen: list[Choice] = []

    def choosing(*words: Any, **asked: Any) -> Choice:
        chosen.append(choose_precision(*words, **asked))
        return chosen[-1]

    def interrupting(self: Any, standing: Any, choice: Any) -> None:
        nonlocal calls
        keep(self, standing, choice)
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(room, "choose_precision", choosing)
    monkeypatch.setattr(Partial, "keep", interrupting)
    with pytest.raises(Paused, match="the same command goes on from here"):
        evaluate(run, **asked)
    assert len(list(run.evaluations.glob(".partial-*.pt"))) == 1
    reporter = Quiet()
    monkeypatch.setattr(room, "choose_precision", None)  # the precision goes on too, and is not chosen anew
    found = evaluate_run(run, EvaluateRequest(device="cpu", **asked), reporter)
    assert found is not None
    assert found[0].precision == Precision(attacks="bfloat16", reason=chosen[0].reason)
    assert any("going on with the evaluation that was interrupted" in line for line in reporter.said)
    assert list(run.evaluations.glob(".partial-*.pt")) == []
    plain = [(attack.name, attack.attacked, attack.broken) for attack in straight.attacks]
    assert [(attack.name, attack.attacked, attack.broken) for attack in found[0].attacks] == plain
    one, other = (np.load(run.evaluations / str(e.per_image)) for e in (straight, found[0]))
    for key in ("robust", "broken_by", "distance"):
        np.testing.assert_array_equal(one[key], other[key])


def test_ctrl_c_in_the_audit_loses_no_attack(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"attacks": ("bim",), "eps": 0.031, "samples": 8, "precision": "float32"}
    straight = evaluate(run, **asked)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(room, "audit", interrupted)
        with pytest.raises(Paused, match="the same command goes on from here"):
            evaluate(run, **asked)
    reporter = Quiet()
    found = evaluate_run(run, EvaluateRequest(device="cpu", **asked), reporter)
    assert found is not None
    assert any("interrupted at the audit" in line for line in reporter.said)
    assert found[0].robust_accuracy == straight.robust_accuracy
    assert [a.broken for a in found[0].attacks] == [a.broken for a in straight.attacks]
    assert list(run.evaluations.glob(".partial-*.pt")) == []


def test_a_full_disk_meanwhile_is_told_and_ends_nothing(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pause, "SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(torch, "save", full)
    reporter = Quiet()
    request = EvaluateRequest(device="cpu", attacks=("bim",), eps=0.032, samples=4, precision="float32")
    assert evaluate_run(run, request, reporter) is not None
    told = "the evaluation goes on, but where it stands cannot be written down: [Errno 28] No space left on device"
    assert told in reporter.said


def test_a_damaged_partial_file_is_named(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"attacks": ("bim",), "eps": 0.033, "samples": 4, "precision": "float32"}

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(room, "audit", interrupted)
        with pytest.raises(Paused):
            evaluate(run, **asked)
    (partial,) = run.evaluations.glob(".partial-*.pt")
    partial.write_bytes(partial.read_bytes()[:100])
    with pytest.raises(HardenerError, match=r"partial-.*is damaged. Remove it, and the evaluation starts anew"):
        evaluate(run, **asked)
    partial.unlink()
    evaluate(run, **asked)


def test_the_record_says_in_which_precision_the_attacks_went(run: RunFolder) -> None:
    asked: dict[str, Any] = {"attacks": ("pgd", "apgd"), "settings": {"steps": 3}, "eps": 0.02, "samples": 4}
    rough = evaluate(run, precision="bfloat16", **asked)
    assert rough.precision is not None
    assert rough.precision.attacks == "bfloat16"
    assert rough.precision.reason.startswith("asked for"), "and, where this machine is slower in it, how much"
    ran = [attack for attack in rough.attacks if attack.name != "audit"]
    assert all(attack.settings["bf16"] is True for attack in ran)
    assert "every success checked in float32" in run.report.read_text()
    assert "<span>--precision</span> <span>bfloat16</span>" in run.report.read_text()
    exact = evaluate(run, precision="float32", **asked)
    assert exact.precision == Precision(attacks="float32", reason="asked for")
    assert not any(attack.settings.get("bf16") for attack in exact.attacks)
    assert abs(exact.robust_accuracy - rough.robust_accuracy) <= 1 / 4
    assert "<span>--precision</span> <span>float32</span>" in run.report.read_text()
    with pytest.raises(
        HardenerError, match=r"unknown precision 'bfloat'. Known: auto, float32, bfloat16. Did you mean"
    ):
        evaluate(run, precision="bfloat", **asked)


def test_an_evaluation_of_the_version_before_is_read(run: RunFolder) -> None:
    new = evaluate(run, attacks=("fgsm",), samples=4).model_dump(by_alias=True)
    old = {key: value for key, value in new.items() if key != "precision"} | {"schema": "hardener/eval/1"}
    assert Evaluation.model_validate_json(json.dumps(old)).precision is None


def test_a_stop_that_comes_as_a_surrogate_is_ready_ends_what_wanted_it(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RunFolder(shutil.copytree(run.path, tmp_path / "own", ignore=shutil.ignore_patterns("surrogate")))
    with monkeypatch.context() as patch:
        patch.setattr("hardener.training.session.look_back", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            surrogate_of(own, Quiet(), device="cpu")
    again = Quiet()
    assert surrogate_of(own, again, device="cpu").read_record().status == "finished"
    assert again.said == [], "what was trained is kept"


def test_a_surrogate_is_trained_once_inside_the_run_and_attacks_transfer_from_it(run: RunFolder) -> None:
    first = surrogate_of(run, Quiet(), device="cpu")
    again = Quiet()
    assert surrogate_of(run, again, device="cpu").path == first.path == run.path / "surrogate" / "natural"
    assert again.said == []
    found = evaluate(run, attacks=("transfer",), eps=0.1, samples=8, surrogate=first)
    assert found.attacks[0].settings["surrogate"] == "natural"
    json.dumps(found.model_dump())


def test_an_onnx_file_answers_for_itself_with_borrowed_gradients_or_without(run: RunFolder, tmp_path: Path) -> None:
    export(run, Quiet())
    model = Path(shutil.copy(run.bundle / "model.onnx", tmp_path))  # away from the run, whose gradients it would take
    data = Path(run.read_record().data.root)
    reporter = Quiet()
    with pytest.raises(HardenerError, match=r"gives no gradients for pgd. Lend it a run's with --surrogate RUN"):
        evaluate_onnx(model, EvaluateRequest(attacks=("pgd",), data=data, device="cpu"), reporter)
    free = evaluate_onnx(
        model, EvaluateRequest(suite="standard", data=data, eps=0.1, samples=3, device="cpu"), reporter
    )
    assert free is not None
    assert [attack.name for attack in free[0].attacks] == ["square"]
    assert "gradient attacks" in free[0].not_run
    assert free[0].verdict != "robust"
    asked = {check.id for check in free[0].checks if check.raised is not None}
    assert {"answers-differ", "batch-dependent", "probabilities"} <= asked
    assert {"gradients-zero", "ce-gap", "single-step"}.isdisjoint(asked)
    assert any(line.startswith("the audit asked what answers alone can tell; not asked: ") for line in reporter.said)
    lent = evaluate_onnx(
        model,
        EvaluateRequest(
            attacks=("pgd",), eps=0.1, samples=8, device="cpu", surrogate=run, json_file=tmp_path / "onnx.json"
        ),
        reporter,
    )
    assert lent is not None
    direct = evaluate(run, attacks=("pgd",), eps=0.1, samples=8)
    assert lent[0].clean_accuracy == direct.clean_accuracy
    assert abs(lent[0].robust_accuracy - direct.robust_accuracy) <= 2 / 8, "rounding to bytes moves few images"
    assert (tmp_path / "onnx.html").is_file()


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_find_what_one_finds(run: RunFolder, tmp_path: Path) -> None:
    code = (
        "import sys, torch, warnings\n"
        "from pathlib import Path\n"
        "from hardener.config.run_folder import RunFolder\n"
        "from hardener.evaluation.plan import EvaluateRequest\n"
        "from hardener.evaluation.run import evaluate_run\n"
        "from hardener.progress import Silent\n"
        "torch.set_num_threads(1)\n"
        "asked = EvaluateRequest(attacks=('fgsm', 'bim'), eps=0.05, samples=11, device='cpu',\n"
        "                        json_file=Path(sys.argv[2]))\n"
        "evaluate_run(RunFolder(Path(sys.argv[1])), asked, Silent())\n"
    )
    script = tmp_path / "both.py"
    script.write_text(code)
    target = tmp_path / "two.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found = subprocess.run(
        [*command, str(script), str(run.path), str(target)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    two = Evaluation.model_validate_json(target.read_text())
    one = evaluate(run, attacks=("fgsm", "bim"), eps=0.05, samples=11)
    assert two.samples == one.samples == 11
    for single, joined in zip(one.attacks, two.attacks, strict=True):
        assert (single.name, single.attacked, single.broken) == (joined.name, joined.attacked, joined.broken)
    assert two.robust_accuracy == one.robust_accuracy


def test_the_kept_state_holds_nothing_that_needs_unpickling(run: RunFolder, tmp_path: Path) -> None:
    from hardener.evaluation.robust_accuracy import AttackPlan, Course, robust_accuracy
    from hardener.evaluation.standing import Standing
    from hardener.threat import ThreatModel

    kept: list[Standing] = []
    robust_accuracy(
        torch.nn.Flatten(),
        torch.rand(5, 1, 1, 3),
        torch.zeros(5, dtype=torch.int64),
        [AttackPlan("fgsm")],
        ThreatModel("linf", 0.1),
        course=Course(on_batch=kept.append, keep_examples=2),
    )
    torch.save(kept[-1].state(), tmp_path / "state.pt")
    again = Standing.from_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(again.stands, kept[-1].stands)
