"""The one writer of `hardener eval …`: what it writes, read by the command line, is the request that it came from."""

from __future__ import annotations

import random
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
from run_folders import bits, write_evaluation, write_run

import hardener.evaluation.run as room
from hardener.cli.app import app
from hardener.config.evaluation_record import EvaluationRequest
from hardener.config.run_folder import RunFolder
from hardener.evaluation.asked import describe_request
from hardener.evaluation.plan import EvaluateRequest, Plan, planned_threat
from hardener.evaluation.robust_accuracy import AttackPlan
from hardener.evaluation.subject import ForeignModel
from hardener.measures import MEASURES
from hardener.reports.command import alike, eval_command, request_of
from hardener.threat import ThreatModel

COMMAND = typer.main.get_command(app)
NAMES = ("plain", "two words", 'quo"ted', "it's", "dollar $HOME", "star *", "back\\slash", "semi;colon", "ünï")
WORDS = sorted({entry.option or name for name, entry in MEASURES.items()} | set(MEASURES))
BALLS = {word for name, entry in MEASURES.items() if entry.ball for word in (name, entry.option)}


class Heard:
    """Stands for the evaluation behind the command line, and keeps what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, EvaluateRequest, dict[str, Any]]] = []
        for name in ("evaluate_run", "evaluate_foreign", "evaluate_onnx"):
            monkeypatch.setattr(room, name, self._hear)
        monkeypatch.setattr("hardener.training.surrogate.wants_surrogate", lambda request: False)

    def _hear(self, target: Any, request: EvaluateRequest, reporter: object, **extra: Any) -> None:
        self.calls.append((target, request, extra))

    def ask(self, command: str) -> tuple[Any, EvaluateRequest, dict[str, Any]]:
        words = shlex.split(command)
        assert words[:2] == ["hardener", "eval"]
        assert not COMMAND.main(words[1:], prog_name="hardener", standalone_mode=False), command
        return self.calls.pop()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(monkeypatch)


def any_request(draw: random.Random, folder: Path) -> EvaluateRequest:
    """A request as the command line can make it: a suite, or attacks with settings of their own."""
    norm = draw.choice(["linf", "l2"])
    eps = draw.choice([None, 8 / 255, 0.1 + 0.2, 1e-05, 1 / 3, draw.random()])
    asked: dict[str, Any] = {
        "norm": norm,
        "eps": eps,
        "samples": draw.choice([1, 12, 1000]),
        "seed": draw.choice([0, 7, 2**31]),
        "batch_size": draw.choice([128, 1, 77]),
        "precision": draw.choice(["auto", "float32", "bfloat16"]),
        "device": draw.choice(["auto", "cpu", "cuda:1"]),
        "skip_bad_images": draw.random() < 0.3,
        "data": draw.choice([None, folder / draw.choice(NAMES), Path("rel") / draw.choice(NAMES)]),
        "sections": frozenset(draw.sample(WORDS, draw.randrange(4))),
    }
    if draw.random() < 0.5:
        asked["suite"] = draw.choice([None, "fast", "quick", "standard", "full"])
    else:
        asked["attacks"] = tuple(draw.choices(["fgsm", "pgd", "apgd", "square", "transfer"], k=draw.randrange(1, 4)))
        asked["settings"] = {
            "steps": draw.choice([None, 1, 40]),
            "step_size": draw.choice([None, 2 / 255, 0.1 / 3, draw.random()]),
            "random_start": draw.choice([None, True, False]),
        }
        asked["restarts"] = draw.choice([1, 3])
    asked["radii"] = draw.choice([(), (), (0.25,), (0.1 + 0.2, 1.0)]) if "certify" in asked["sections"] else ()
    if draw.random() < 0.2:
        ranges = draw.choice([{}, {"rotation": (-draw.random(), 15.5)}, {"shift": (0.0, 0.1), "rotation": (-8.0, 0.0)}])
        asked |= {"norm": None, "eps": None, "threat": "spatial", "ranges": ranges, "suite": None}
        asked["sections"] = frozenset(w for w in asked["sections"] if w not in BALLS)
        if "attacks" in asked:
            asked |= {"attacks": ("box-search",), "restarts": 1, "settings": {"queries": draw.choice([None, 50])}}
    if asked.get("suite") == "full" or "transfer" in asked.get("attacks", ()):
        asked["surrogate"] = RunFolder(folder / draw.choice(NAMES))
    return EvaluateRequest(**asked)


def record_of(request: EvaluateRequest, *, run: bool = True, **asked: Any) -> EvaluationRequest:
    """What the evaluation puts on record."""
    described = SimpleNamespace(run="x" if run else None)
    subject = cast(Any, SimpleNamespace(asked=asked, dedupe=False, described=described))
    attacks = (AttackPlan("transfer"),) if request.surrogate is not None else ()
    suite = None if request.attacks or request.threat else request.suite or "fast"
    found = describe_request(subject, Plan(request, planned_threat(request), suite, attacks))
    assert found is not None
    return found


def told(request: EvaluateRequest) -> dict[str, Any]:
    """A request as values that can be compared, its defaults written out."""
    fields = asdict(replace(request, surrogate=None))
    fields["suite"] = None if request.attacks or request.threat else request.suite or "fast"
    threat = planned_threat(request)
    if isinstance(threat, ThreatModel):
        fields |= {"norm": threat.norm, "eps": threat.eps, "ranges": {}}
    else:
        fields["ranges"] = {name: dict(threat.settings)[name] for name in threat.given}
    fields["settings"] = {key: value for key, value in (request.settings or {}).items() if value is not None}
    fields["surrogate"] = None if request.surrogate is None else request.surrogate.path
    return fields


@pytest.mark.parametrize("seed", range(4))
def test_what_it_writes_is_read_back_as_the_request_it_came_from(heard: Heard, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
    for _ in range(50):
        request = any_request(draw, tmp_path)
        target = tmp_path / draw.choice(NAMES)
        command = eval_command(record_of(request, target=str(target)))
        run, read, _ = heard.ask(str(command))
        assert run.path == target
        assert told(read) == told(request), command


@pytest.mark.parametrize("seed", range(2))
def test_a_model_from_elsewhere_and_an_onnx_file_come_back_as_well(heard: Heard, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(25):
        request = replace(any_request(draw, tmp_path), attacks=("square",), suite=None, surrogate=None)
        foreign = ForeignModel(
            spec=draw.choice(["torchvision:resnet18", str(tmp_path / "my net.py")]),
            init=tmp_path / f"{draw.choice(NAMES)}.pt",
            normalize=draw.choice(["none", "imagenet", "0.5,0.5,0.5/0.25,0.25,0.25"]),
            entry=draw.choice([None, "make_net"]),
            image_size=draw.choice([None, (32, 48)]),
            allow_pickle=draw.random() < 0.5,
            model_args=draw.choice([{}, {"depth": 28, "layers": [2, 2], "kind": "a b", "on": True, "p": 0.1}]),
            root=draw.choice([None, tmp_path]),
            range=draw.choice([None, (-1024.0, 3071.5)]),
        )
        fields = asdict(foreign)
        asked = {**fields, "target": fields.pop("spec"), "init": str(foreign.init)}
        asked["root"] = None if foreign.root is None else str(foreign.root)
        asked.pop("spec")
        model, read, _ = heard.ask(str(eval_command(record_of(request, run=False, **asked))))
        assert (model, told(read)) == (foreign, told(request))
        path = tmp_path / f"{draw.choice(NAMES)}.onnx"
        command = eval_command(
            record_of(request, run=False, target=str(path), normalize=foreign.normalize, range=foreign.range)
        )
        file, read, extra = heard.ask(str(command))
        assert (file, told(read), extra) == (
            path,
            told(request),
            {"normalize": foreign.normalize, "ends": foreign.range},
        )


def test_what_auto_came_to_is_written_so_that_no_stopwatch_decides_again(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    asked = EvaluationRequest(target="runs/run", attacks=["pgd"])
    for bf16, auto, explicit in ((True, "bfloat16", "float32"), (False, "float32", "bfloat16")):
        settings = {"steps": 20, "bf16": bf16}
        found = write_evaluation(run, bits(9, 10), bits(3, 10), attacks=[("pgd", settings, 0.3)], request=asked)
        assert f" --precision {auto}" in str(eval_command(request_of(found) or asked))
        found.request = asked.model_copy(update={"precision": explicit})
        assert f" --precision {explicit}" in str(eval_command(request_of(found) or asked))
        assert f" --precision {auto}" in str(eval_command(alike(found, run.path))), "alike in what was done"


def test_what_the_command_line_has_no_words_for_gets_no_command() -> None:
    assert eval_command(EvaluationRequest(target="run", attacks=["apgd-t"], settings={"targets": 5})) is None


def test_the_surrogate_that_a_run_trains_for_itself_needs_no_words(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    attacks = [("transfer", {"surrogate": "natural"}, 0.3)]
    old = write_evaluation(run, bits(9, 10), bits(3, 10), attacks=attacks)
    assert "--surrogate" not in str(eval_command(alike(old, run.path)))
