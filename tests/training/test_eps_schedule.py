from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_run import Recorder, request, rows, weights
from test_training_engine import script_validation

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, Interrupted
from hardener.training.build import build_method
from hardener.training.eps_schedule import CONVERGED, STEP, EpsSchedule
from hardener.training.run import resume, train
from hardener.training.settling import settle_recipe

RAMP = ("vicinity.adversarial.eps=8/255", "vicinity.adversarial.schedule=ramp")
AUTO = (RAMP[0], "vicinity.adversarial.schedule=auto")


def scheduled(*overrides: str) -> EpsSchedule:
    method = build_method(load_recipe("n-fgsm", overrides), 10)
    state = SimpleNamespace(method=method, rollbacks=0, eps_level=0.0, eps_lid=1.0, eps_best=-1.0)
    return EpsSchedule(state)  # type: ignore[arg-type]


def share_at(schedule: EpsSchedule, done: float) -> float:
    schedule.before_step(done)
    return schedule.state.method.eps_share


def test_a_ramp_is_quiet_then_rises_evenly_and_then_stays() -> None:
    ramp = scheduled(*RAMP)
    assert [share_at(ramp, done) for done in (0.0, 0.25, 0.375, 0.5, 0.75, 1.0)] == [0, 0, 0.25, 0.5, 1, 1]
    assert ramp.state.method.eps == 8 / 255
    share_at(ramp, 0.5)
    assert ramp.state.method.eps == 4 / 255


def test_without_a_schedule_eps_is_whole_from_the_first_step() -> None:
    constant = scheduled("vicinity.adversarial.eps=8/255")
    assert [share_at(constant, done) for done in (0.0, 0.5)] == [1, 1]


def test_a_quiet_step_asks_the_network_nothing_more_than_a_natural_one() -> None:
    images, labels = torch.rand(4, 1, 8, 8), torch.randint(10, (4,))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    passes: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0]))
    ramp = scheduled(*RAMP)
    share_at(ramp, 0.1)
    natural = build_method(load_recipe("natural"), 10)
    assert torch.equal(ramp.state.method.loss(network, images, labels), natural.loss(network, images, labels))
    assert len(passes) == 2
    share_at(ramp, 0.5)
    ramp.state.method.loss(network, images, labels)
    assert len(passes) == 4
    assert 0 < float((passes[-1] - images).abs().max()) <= 3 * 4 / 255 + 1e-6


def test_auto_runs_ahead_of_the_ramp_where_an_epoch_gains_nothing_more() -> None:
    auto = scheduled(*AUTO)
    assert share_at(auto, 0.1) == 0
    auto.after_epoch(0.5, 0.0)  # the first epoch at this eps is what later ones are compared with
    assert share_at(auto, 0.15) == 0
    auto.after_epoch(0.5 + 2 * CONVERGED, 0.0)
    assert share_at(auto, 0.2) == 0
    auto.after_epoch(0.5 + 2.5 * CONVERGED, 0.9)  # without an attack the robust accuracy says nothing
    assert share_at(auto, 0.2) == STEP
    assert share_at(auto, 0.5) == 0.5  # never behind the ramp


def test_after_a_collapse_auto_stays_below_the_eps_that_collapsed() -> None:
    auto = scheduled(*AUTO)
    assert share_at(auto, 0.75) == 1
    auto.fall_back(1.0)
    assert share_at(auto, 0.75) == 1 - STEP
    auto.after_epoch(0.5, 0.4)
    assert share_at(auto, 0.8) == 1 - STEP


def test_the_last_quarter_climbs_by_more_steps_and_no_farther() -> None:
    images, labels = torch.rand(4, 1, 8, 8), torch.randint(10, (4,))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    passes: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0]))
    late = scheduled("vicinity.adversarial.last_steps=2")
    counts = []
    for done in (0.0, 0.74, 0.75, 1.0):
        passes.clear()
        late.before_step(done)
        late.state.method.loss(network, images, labels)
        counts.append(len(passes) - 1)
        assert float((passes[-1] - images).abs().max()) <= 3 * 8 / 255 + 1e-6
    assert counts == [1, 1, 2, 2]
    late.state.method.attack_steps = 3  # after a collapse
    passes.clear()
    late.state.method.loss(network, images, labels)
    assert len(passes) - 1 == 3


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("vicinity.adversarial.schedule=ramp",), "this recipe names none: set vicinity.adversarial.eps"),
        ((*RAMP, "vicinity.adversarial.quiet=0.8"), "quiet=0.8 and full=0.75 are out of order"),
        ((*RAMP, "method=trades"), "method trades trains at one eps: no schedule"),
        ((RAMP[0], "vicinity.adversarial.last_steps=2", "method=trades"), "from first to last: no last_steps"),
        ((RAMP[0], "vicinity.adversarial.origin=class", "method=trades"), "no start, origin or project"),
        (
            ("vicinity.adversarial.norm=l2", "vicinity.adversarial.eps=0.5", "vicinity.adversarial.origin=class"),
            "origin=class starts from signs, which is a start for linf and none for l2",
        ),
        (("network.checkpoint=true", "compile=on"), "network.checkpoint was not tried with compile=on"),
        ((RAMP[0], "vicinity.adversarial.schedule=slow"), "'constant', 'ramp' or 'auto'"),
    ],
)
def test_what_makes_no_schedule_is_refused_in_words(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(HardenerError, match=said):
        load_recipe("natural", overrides)


@pytest.mark.parametrize(("schedule", "said"), [("constant", ["quiet=0.1"]), ("ramp", [])])
def test_shares_of_a_ramp_without_a_ramp_are_told(schedule: str, said: list[str], tmp_path: Path) -> None:
    sets = (RAMP[0], f"vicinity.adversarial.schedule={schedule}", "vicinity.adversarial.quiet=0.1")
    recorder = Recorder()
    settle_recipe(request(tmp_path / "m.py", tmp_path, tmp_path, sets=sets), 8, recorder)
    assert [warning.partition(" in ")[0] for warning in recorder.warned] == said


@pytest.mark.parametrize("schedule", ["ramp", "auto"])
def test_eps_is_in_the_metrics_and_a_resumed_run_goes_on_bit_for_bit(
    schedule: str, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = (RAMP[0], f"vicinity.adversarial.schedule={schedule}", "vicinity.adversarial.last_steps=2", "epochs=4")
    straight = train(request(model_file, image_folder, tmp_path / "straight", "n-fgsm", sets), Recorder())
    eps = [row["eps"] for row in rows(straight)]
    assert eps[0] == 0
    assert eps == sorted(eps)
    assert eps[-1] == 8 / 255
    best = straight.read_record().best
    assert best is not None
    assert best.eps in eps
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "cut", "n-fgsm", sets), Recorder(interrupt_at=50))
    (cut,) = (tmp_path / "cut").iterdir()
    resumed = resume(RunFolder(cut), Recorder())
    assert rows(resumed) == rows(straight)
    assert all(torch.equal(value, weights(straight)[name]) for name, value in weights(resumed).items())


def test_auto_answers_a_collapse_with_less_eps_and_the_next_with_a_gradient_step_more(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_validation(monkeypatch, [0.3, 0.5, 0.5, 0.0, 0.1, 0.6])
    reporter = Recorder()
    sets = (*AUTO, "vicinity.adversarial.quiet=0", "vicinity.adversarial.full=0.5", "epochs=4")
    run = train(request(model_file, image_folder, tmp_path / "runs", "fast-at", sets), reporter)
    fell = ": catastrophic overfitting. Back to the end of epoch 3, from here with "
    assert reporter.warned == [
        f"quick robust accuracy fell from 50.0 to 0.0 % in epoch 4{fell}eps at most 88% of the recipe's",
        f"quick robust accuracy fell from 50.0 to 10.0 % in epoch 4{fell}2 gradient steps",
    ]
    assert "from here eps is lower too: at most 75% of the recipe's" in reporter.said
    full, eps = 8 / 255, [row["eps"] for row in rows(run)]
    assert eps[3:] == [full, (1 - STEP) * full, (1 - 2 * STEP) * full]


@pytest.mark.parametrize(
    ("robust", "back", "steps"), [([0.3, 0.5, 0.5, 0.0, 0.6], 3, 3), ([0.3, 0.5, 0.0, 0.5, 0.6], 2, 2)]
)
def test_a_collapse_in_the_last_quarter_is_answered_by_more_steps_than_that_quarter_had(
    robust: list[float], back: int, steps: int, model_file: Path, image_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The last of four epochs climbs by two steps; back at its start, with two, it would come out the same."""
    script_validation(monkeypatch, robust)
    reporter = Recorder()
    sets = ("vicinity.adversarial.last_steps=2", "epochs=4")
    run = train(request(model_file, image_folder, tmp_path / "runs", "fast-at", sets), reporter)
    (warned,) = reporter.warned
    assert warned.endswith(f"Back to the end of epoch {back}, from here with {steps} gradient steps")
    losses = [row["loss"] for row in rows(run) if row["epoch"] == back + 1]
    assert losses[0] != losses[1]


def test_what_stands_by_chance_before_the_attack_is_no_mark_that_training_falls_from(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_validation(monkeypatch, [0.6, 0.2, 0.25, 0.4, 0.1, 0.5])
    reporter = Recorder()
    sets = (*RAMP, "vicinity.adversarial.quiet=0.4", "vicinity.adversarial.full=1", "epochs=5")
    run = train(request(model_file, image_folder, tmp_path / "runs", "fast-at", sets), reporter)
    assert reporter.warned == [
        "quick robust accuracy fell from 40.0 to 10.0 % in epoch 5: catastrophic overfitting. Back to the end of epoch "
        "4, from here with 2 gradient steps"
    ]
    assert [row["rolled_back"] for row in rows(run)] == [False] * 4 + [True, False]
