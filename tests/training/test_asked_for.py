"""A run trains for what is asked for: its eps is reached, validated at and kept; what never begins is told."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_run import Recorder, request, rows, weights
from torch import nn

from hardener.config.kept_eps import told_eps
from hardener.config.recipe import load_recipe, recipe_files, settle
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, Interrupted
from hardener.models.freeze import HeldBody
from hardener.training.ending import TimeLimit, has_stalled, settles_after, what_is_cut
from hardener.training.eps_schedule import short_ramp
from hardener.training.module_sets import module_sets, recipe_with
from hardener.training.prepare import prepare
from hardener.training.run import resume, train
from hardener.training.settling import settle_recipe
from hardener.training.validation import Validator
from hardener.vicinity.worst_point import Settings as Ball
from hardener.vicinity.worst_point import WorstPoint

# Validation asks what training is for


@pytest.mark.parametrize(
    ("recipe", "overrides", "side", "threat"),
    [
        ("hardened", (), 32, ("linf", 8 / 255)),
        ("hardened", (), 64, ("linf", 4 / 255)),
        ("hardened", ("vicinity.adversarial.eps=0.3",), 64, ("linf", 0.3)),
        ("pgd-at", ("vicinity.adversarial.norm=l2", "vicinity.adversarial.eps=0.25"), 32, ("l2", 0.25)),
        ("pgd-at", ("vicinity.adversarial.norm=l2",), 32, ("l2", 0.5)),
        ("natural", ("vicinity.adversarial={eps: 2/255}",), 32, ("linf", 2 / 255)),
    ],
)
def test_epochs_are_chosen_at_the_eps_of_training(
    recipe: str, overrides: tuple[str, ...], side: int, threat: tuple[str, float]
) -> None:
    settled, _ = settle(load_recipe(recipe, overrides), trained=False, side=side)
    assert settled.vicinity.own(Ball).threat == settled.validation.threat
    assert settled.validation.norm == threat[0]
    assert settled.validation.eps == pytest.approx(threat[1])


def test_what_validation_is_told_on_purpose_stays(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("vicinity: {adversarial: {eps: 0.3}}\nvalidation: {eps: 0.1}\n")
    asked: list[tuple[str, tuple[str, ...], float]] = [
        ("natural", ("vicinity.adversarial.eps=0.3", "validation.eps=0.2"), 0.2),
        (str(own), (), 0.1),
        (str(own), ("vicinity.adversarial.eps=0.4",), 0.1),
        ("natural", ("validation.norm=l2", "validation.eps=1"), 1),
    ]
    for recipe, overrides, eps in asked:
        assert load_recipe(recipe, overrides).validation.eps == eps
    own.write_text("vicinity: {adversarial: {eps: 0.3}}\nlarge_images: {vicinity: {adversarial: {eps: 0.2}}}\n")
    sides = [settle(load_recipe(str(own)), trained=False, side=side)[0].validation.eps for side in (32, 64)]
    assert sides == [0.3, 0.2]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ((), "8/255. --set"),
        (("validation.eps=4/255",), "8/255, and chooses the epoch that it keeps at linf 4/255. --set"),
    ],
)
def test_another_eps_of_validation_is_told(sets: tuple[str, ...], said: str, tmp_path: Path) -> None:
    assert any(f"trains against an attacker: linf {said}" in line for line in settled("n-fgsm", sets, tmp_path).said)


# Training comes to its eps


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.2), ("l2", 0.5)])
def test_ten_steps_cross_the_ball_that_is_asked_for(norm: str, eps: float) -> None:
    overrides = (f"vicinity.adversarial.norm={norm}", f"vicinity.adversarial.eps={eps}")
    for recipe in ("pgd-at", "trades", "trades-awp"):
        ball = load_recipe(recipe, overrides).vicinity.own(Ball)
        climb = WorstPoint(ball.norm, ball.eps, steps=ball.steps, step_size=ball.step_size, start=0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        images, labels = torch.full((4, 1, 8, 8), 0.5), torch.eye(2)[torch.tensor([0, 1, 0, 1])]
        change = (climb(images, labels, model=network)[0] - images).flatten(1)
        assert change.norm(p=math.inf if norm == "linf" else 2, dim=1).min() == pytest.approx(eps, rel=1e-4)
    standard = load_recipe("pgd-at").vicinity.own(Ball)
    assert WorstPoint("linf", standard.eps, steps=10)._length() == 2 / 255, "the published step"


@pytest.mark.parametrize(("size", "warned"), [("2/255", True), ("0.03", False)])
def test_steps_that_cannot_cross_the_ball_are_told(size: str, warned: bool, tmp_path: Path) -> None:
    sets = ("vicinity.adversarial.eps=0.2", f"vicinity.adversarial.step_size={size}")
    told = settled("pgd-at", sets, tmp_path).warned
    assert any("10 steps of 0.007843 cannot cross a ball of eps 0.2" in line for line in told) == warned


def test_steps_that_are_replays_or_go_on_from_the_epoch_before_cross_it(tmp_path: Path) -> None:
    small = "vicinity.adversarial.step_size=4/255"
    assert not settled("free-at", (small,), tmp_path).warned
    assert not settled("fast-at", (small, "vicinity.adversarial.origin=prior"), tmp_path).warned
    assert settled("fast-at", (small,), tmp_path).warned


@pytest.mark.parametrize("select", ["clean", "mean"])
def test_an_epoch_of_less_eps_is_kept_only_until_there_is_one_of_the_whole(
    select: str, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("epochs=6", "vicinity.adversarial.eps=0.9", f"validation.select={select}", "optimizer.lr=0.2")
    run = train(request(model_file, image_folder, tmp_path, "hardened", sets), Recorder())
    scores = [
        (row["clean_accuracy"] + (row["robust_accuracy"] if select == "mean" else row["clean_accuracy"])) / 2
        for row in rows(run)
    ]
    best = run.read_record().best
    assert best is not None
    assert best.eps == pytest.approx(0.9)
    assert max(scores[:3]) > best.score, "an epoch from before the whole eps has the better figures here"
    assert best.score == max(score for score, row in zip(scores, rows(run), strict=True) if row["eps"] >= 0.81)


def test_of_a_ramp_that_is_cut_off_an_epoch_with_its_attack_is_kept_and_its_eps_is_told(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("epochs=8", "vicinity.adversarial.eps=0.9", "validation.select=clean", "optimizer.lr=0.2")
    asked = replace(request(model_file, image_folder, tmp_path, "hardened", sets), time_limit_s=1000.0)
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimeLimit, "left", property(lambda limit: 1e9 if len(recorder.epochs) < 5 else 0.0))
        run = train(asked, recorder)
    record, seen = run.read_record(), rows(run)
    assert (record.epochs_done, record.ended) == (5, "time limit")
    assert 0 == seen[0]["eps"] < seen[-1]["eps"] < 0.81, "the ramp has begun, and is not at its end"
    best = record.best
    assert best is not None
    assert best.eps is not None
    assert 0 < best.eps < 0.81
    assert max(row["clean_accuracy"] for row in seen if not row["eps"]) >= best.clean_accuracy, (
        "its figures are no worse"
    )
    told = f", trained at eps {255 * best.eps:.3g}/255 where 230/255 is asked for"
    assert told_eps(best, run.read_recipe()) == told
    assert told in run.train_page.read_text()


def test_a_ramp_that_is_longer_than_its_run_is_told(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    said = "eps rises over the run, which is too short for it with 1 step: it never comes to what is asked for. "
    told = Recorder()
    train(request(model_file, image_folder, tmp_path, "hardened", ("epochs=1", "batch_size=64")), told)
    assert f"{said}Take --epochs 4 or more, or a smaller --batch-size" in told.warned
    short, enough = (load_recipe("hardened", [f"epochs={n}", "batch_size=64"]) for n in (3, 4))
    assert short_ramp(short, 20, 1) is not None
    assert short_ramp(enough, 20, 1) is None
    assert short_ramp(short, 20 * 64, 1) is None
    assert short_ramp(short, 64 + 10, 1) is None, "the rest of a minibatch is a step too"
    assert short_ramp(short, 20 * 64, 20) is not None
    assert short_ramp(load_recipe("n-fgsm", ["epochs=1"]), 20, 1) is None


@pytest.mark.parametrize("schedule", ["ramp", "auto"])
def test_a_run_that_is_killed_while_it_validates_goes_on_at_the_eps_that_it_had(
    schedule: str, model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = (f"vicinity.adversarial.schedule={schedule}", "vicinity.adversarial.eps=0.1", "epochs=6")
    straight = train(request(model_file, image_folder, tmp_path, "hardened", sets, name="straight"), Recorder())
    measure = Validator.measure

    def killed(self: Validator, classifier: nn.Module, epoch: int) -> Any:
        if epoch == 2:
            raise KeyboardInterrupt
        return measure(self, classifier, epoch)

    monkeypatch.setattr("hardener.training.keeping.SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(Validator, "measure", killed)
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        train(request(model_file, image_folder, tmp_path, "hardened", sets, name="killed"), Recorder())
    monkeypatch.setattr(Validator, "measure", measure)
    resumed = resume(RunFolder(tmp_path / "killed"), Recorder(), device="cpu")
    assert rows(resumed) == rows(straight)
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(straight).items())


# What begins late


def test_patience_counts_no_epoch_before_all_has_begun() -> None:
    begins = {
        ("network.head_first=5",): 5,
        ("averaging.name=swa",): 8,
        ("averaging.name=ema",): 0,
        ("resize.first=0.5", "resize.full=0.5"): 6,
        ("awp.gamma=0.005", "awp.warmup_epochs=2"): 2,
        ("vicinity.adversarial.eps=0.1", "vicinity.adversarial.last_steps=2"): 9,
        ("resize.first=0.5", "resize.full=1"): 11,
        (): 0,
    }
    found = {sets: settles_after(load_recipe("natural", ["epochs=12", *sets])) for sets in begins}
    assert found == begins
    assert [has_stalled(1, done, 2, settled=5) for done in (3, 5, 6, 7)] == [False, False, False, True]
    assert [has_stalled(6, done, 2, settled=5) for done in (7, 8)] == [False, True]


@pytest.mark.parametrize(("start", "taken"), [("0.5", 4), ("0.51", 3), ("null", 2)])
def test_swa_takes_the_ends_of_epochs_from_its_start_on(
    start: str, taken: int, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    """Of six epochs the third ends at one half of the run, and the fifth is the first to end after three quarters."""
    sets = ("epochs=6", "averaging.name=swa", f"averaging.start={start}")
    run = train(request(model_file, image_folder, tmp_path, "natural", sets), Recorder())
    assert int(torch.load(run.checkpoint, weights_only=True)["average"]["n_averaged"]) == taken
    assert taken == 6 - settles_after(run.read_recipe())


def test_the_body_is_trained_before_patience_ends_a_run(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    sets = ("epochs=6", "network.head_first=3", "validation.patience=1", "optimizer.lr=1e-9", "optimizer.momentum=0")
    run = train(request(model_file, image_folder, tmp_path, "natural", sets), Recorder())
    assert run.read_record().epochs_done == 4


def test_a_run_that_is_cut_off_says_what_had_not_begun() -> None:
    recipe = load_recipe("natural", ["epochs=12", "network.head_first=4", "averaging.name=swa"])
    assert what_is_cut(recipe, 4, 1.0).endswith(
        ", and training of what lies before the head had not begun, and the average had not begun."
    ), "as many epochs are refused where the head has them all"
    assert what_is_cut(recipe, 9, 1.0).endswith("of its peak. A run with --epochs 9 gets to the end")
    assert what_is_cut(load_recipe("trades-awp"), 2, 1.0).endswith("the perturbation of weights had not begun.")


@pytest.mark.parametrize(
    ("recipe", "sets", "said"),
    [
        ("trades-awp", ("epochs=2",), "the perturbation of weights never begins: it comes after 2 epochs"),
        (
            "natural",
            ("epochs=1", "resize.first=0.5"),
            "training on images of their own size never begins: it",
        ),
        ("natural", ("epochs=2", "resize.first=0.5"), None),
        ("trades-awp", ("epochs=3",), None),
        ("natural", ("epochs=1", "averaging.name=swa"), None),
    ],
)
def test_what_never_begins_is_told(recipe: str, sets: tuple[str, ...], said: str | None, tmp_path: Path) -> None:
    told = [line for line in settled(recipe, sets, tmp_path, size=16).warned if "never begins" in line]
    assert [line.startswith(str(said)) for line in told] == ([] if said is None else [True])


def test_a_module_that_stands_twice_in_the_body_is_held_and_let_go() -> None:
    relu = nn.ReLU()
    body = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), relu, nn.Linear(4, 4), relu)
    network = nn.Sequential(body, nn.Sequential(nn.Linear(4, 4), relu), nn.Linear(4, 2))
    held = HeldBody(network, num_classes=2)
    assert held.hold(True)
    network.train()
    assert not relu.training
    assert held.hold(False)
    network.train()
    assert relu.training


def settled(recipe: str, sets: tuple[str, ...], folder: Path, *, size: int = 8, init: Path | None = None) -> Recorder:
    """Return what is said where a recipe is settled."""
    told = Recorder()
    settle_recipe(request(folder / "m.py", folder, folder, recipe, sets, init=init), size, told)
    return told


# What does nothing


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("vicinity.labels.smoothing=0.4",), "smoothing in vicinity.labels: the labels stay as they are, so that this"),
        (("vicinity.labels.smoothing=0.4", "vicinity.labels.law=uniform"), None),
        (("beta.lr=0.3",), "lr in beta: no vector is learned for the labels, so that this does nothing"),
        (("beta.lr=0.3", "vicinity.labels.law=budget"), None),
        (("optimizer.milestones=[0.5]",), "optimizer.milestones does nothing without --set optimizer.schedule=step"),
        (("optimizer.milestones=[0.5]", "optimizer.schedule=step"), None),
        (("averaging.name=swa", "averaging.decay=0.9"), "averaging.decay does nothing for the plain mean of swa"),
        (("averaging.name=ema", "averaging.decay=0.9"), None),
    ],
)
def test_a_setting_without_effect_is_told(sets: tuple[str, ...], said: str | None, tmp_path: Path) -> None:
    told = [line for line in settled("natural", sets, tmp_path).warned if "does nothing" in line]
    assert [line.startswith(str(said)) for line in told] == ([] if said is None else [True])


@pytest.mark.parametrize("recipe", ["sprout", "sprout-reference", "dirichlet-fixed", "label-smoothing"])
def test_switching_labels_off_is_no_reason_to_warn_of_them(recipe: str, tmp_path: Path) -> None:
    assert not settled(recipe, ("vicinity.labels.law=one-hot",), tmp_path).warned


@pytest.mark.parametrize("recipe", recipe_files())
def test_no_recipe_of_ours_holds_a_setting_without_effect(recipe: str, tmp_path: Path) -> None:
    assert not [line for line in settled(recipe, (), tmp_path).warned if "does nothing" in line]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("optimizer.options.lr=9",), "lr has a field of its own: set optimizer.lr=9 instead"),
        (("optimizer.options.weight_decay=1",), "weight_decay has a field of its own"),
        (
            ("vicinity.mixup_alpha=0.2", "batch_size=8", "accumulate=8"),
            "accumulate=8 of batch_size=8 leaves pieces of one image, and vicinity.mixup_alpha mixes within a piece",
        ),
    ],
)
def test_a_setting_that_would_be_overridden_is_refused(sets: tuple[str, ...], said: str) -> None:
    with pytest.raises(HardenerError, match=said):
        load_recipe("natural", sets)


def test_a_network_whose_own_code_freezes_most_of_it_is_told(image_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "frozen.py"
    model.write_text(
        "from torch import nn\n\n\ndef build_model(num_classes, in_channels):\n"
        "    body = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64, 8)).requires_grad_(FROZEN)\n"
        "    return nn.Sequential(body, nn.Linear(8, num_classes))\n\n\nFROZEN = False\n"
    )
    told = Recorder()
    prepare(request(model, image_folder, tmp_path, "natural"), told)
    assert any(line.startswith("18 of 538 parameters learn: the model's own code freezes") for line in told.warned)


def test_what_is_frozen_without_its_weights_is_told_to_be_random(image_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "frozen.py"
    model.write_text(
        "from torch import nn\nfrom torchvision import models\n\n\ndef build_model(num_classes, pretrained=True):\n"
        "    net = models.squeezenet1_1(weights='DEFAULT' if pretrained else None).requires_grad_(False)\n"
        "    net.classifier[1] = nn.Conv2d(512, num_classes, 1)\n    return net\n"
    )
    told = Recorder()
    recipe = load_recipe("natural", ["data.image_size=32", "data.channels=3"])
    prepare(dataclasses.replace(request(model, image_folder, tmp_path, "natural"), recipe=recipe), told)
    assert any(
        "They stay as they were drawn at random, since their weights were not fetched" in one for one in told.warned
    )


def test_the_line_that_goes_on_is_read_by_a_shell_as_it_is_meant() -> None:
    run = RunFolder(Path("my runs/it's a run"))
    assert shlex.split(run.going_on) == ["hardener", "train", "--resume", "my runs/it's a run"]
    assert RunFolder(Path("runs/plain")).going_on == "hardener train --resume runs/plain"


@pytest.mark.parametrize(
    ("recipe", "sets", "trained", "said"),
    [
        ("natural", ("optimizer.name=adamw", "optimizer.lr=0.03"), False, "30 times the rate that torch has for adamw"),
        ("natural", ("optimizer.name=adamw", "optimizer.lr=0.003"), True, None),
        ("natural", ("vicinity.noise_sigma=8",), False, "noise of a standard deviation of 8 drowns images"),
        (
            "hardened",
            ("optimizer.layer_decay=0.9",),
            True,
            "layer_decay=0.9: it is the first layers that have to",
        ),
        ("hardened", ("network.freeze=[conv1]",), True, "frozen layers: it is the first layers that have to"),
        ("hardened", ("optimizer.layer_decay=0.9",), False, None),
        ("natural", ("optimizer.layer_decay=0.9", "network.freeze=[conv1]"), True, None),
    ],
)
def test_what_can_hardly_be_meant_is_told(
    recipe: str, sets: tuple[str, ...], trained: bool, said: str | None, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors" if trained else None
    told = settled(recipe, sets, tmp_path, init=start).warned
    assert [line.startswith(str(said)) for line in told] == ([] if said is None else [True])


@pytest.mark.parametrize("recipe", ["natural", "sprout", "hardened"])
def test_a_runs_own_file_as_a_recipe_is_no_doubt(
    recipe: str, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    run = train(request(model_file, image_folder, tmp_path, recipe), Recorder())
    assert not settled(str(run.recipe_file), (), tmp_path).warned


def test_an_ablation_is_not_told_of_what_it_switches_off(tmp_path: Path) -> None:
    for name, modules in itertools.product(("sprout", "sprout-reference"), module_sets()):
        base = load_recipe(name)
        told = Recorder()
        asked = replace(request(tmp_path / "m.py", tmp_path, tmp_path), recipe=recipe_with(base, modules))
        settle_recipe(asked, 8, told)
        assert not told.warned
