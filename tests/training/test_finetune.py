"""Whole runs that fine-tune: what is frozen stays, and a run with other activations opens again."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_run import Recorder, request, weights
from torch import nn

from hardener.config.recipe import load_recipe, settle
from hardener.config.run_folder import RunFolder
from hardener.config.section import PatchNoise
from hardener.errors import HardenerError, Interrupted
from hardener.models.freeze import freeze
from hardener.models.normalize import ImageClassifier
from hardener.models.trained import open_classifier
from hardener.training.parallel import sync_batch_norm
from hardener.training.run import resume, train
from hardener.training.surrogate import surrogate_of


@pytest.fixture
def first(straight: Callable[[str], RunFolder]) -> RunFolder:
    """A run to start from."""
    return straight("sprout")


@pytest.mark.parametrize("sets", [(), ("averaging.name=ema",), ("optimizer.layer_decay=0.5",), ("accumulate=2",)])
def test_frozen_parts_come_out_as_they_went_in(
    sets: tuple[str, ...], first: RunFolder, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("network.freeze=['all-but-head']", "epochs=2", *sets)
    run = train(request(model_file, image_folder, tmp_path, sets=sets, init=first.path), Recorder())
    before, after = weights(first), weights(run)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"6.weight", "6.bias"}


def test_frozen_parts_stay_frozen_when_a_run_resumes(
    first: RunFolder, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("network.freeze=['0', '1']", "network.activation=silu", "optimizer.layer_decay=0.5")
    straight = train(request(model_file, image_folder, tmp_path / "a", sets=sets, init=first.path), Recorder())
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "b", sets=sets, init=first.path, name="r"), Recorder(25))
    resumed = resume(RunFolder(tmp_path / "b" / "r"), Recorder(), device="cpu")
    ours, theirs, start = weights(straight), weights(resumed), weights(first)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(torch.equal(start[name], theirs[name]) for name in start if name.startswith(("0.", "1.")))


def test_the_body_is_as_it_was_while_the_head_learns_first_and_all_learns_after(
    first: RunFolder, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    """Stopped in its second epoch, where the body is let go, the run is the straight one's bit for bit."""
    sets, told = ("network.head_first=1", "epochs=2"), Recorder()
    straight = train(request(model_file, image_folder, tmp_path / "a", sets=sets, init=first.path), told)
    assert "1 epoch of the head first: 0, 1 learn after" in told.said
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "b", sets=sets, init=first.path, name="r"), Recorder(25))
    start, after_one = weights(first), torch.load(tmp_path / "b/r/checkpoint/before.pt", weights_only=True)
    changed = {name for name, value in start.items() if not torch.equal(after_one["network"][name], value)}
    assert (after_one["epoch"], after_one["images"], changed) == (1, 0, {"6.weight", "6.bias"})
    resume(RunFolder(tmp_path / "b" / "r"), Recorder(), device="cpu")
    ours, theirs = (
        torch.load(run / "checkpoint/last.pt", weights_only=True) for run in (straight.path, tmp_path / "b/r")
    )
    assert all(torch.equal(ours["network"][name], theirs["network"][name]) for name in start)
    assert not torch.equal(ours["network"]["0.weight"], start["0.weight"])
    assert not torch.equal(ours["network"]["1.running_mean"], start["1.running_mean"])


@pytest.mark.parametrize(
    ("sets", "match"),
    [
        (("network.head_first=3",), "network.head_first=3 of 3 epochs leaves none for the rest. Lower it, or pass"),
        (("network.head_first=1", "parallel=fsdp"), "network.head_first .* does not go with parallel=fsdp"),
        (("network.head_first=1", "network.freeze=['all-but-head']"), "a head and a body that both learn"),
    ],
)
def test_a_head_that_cannot_learn_first_is_refused(
    sets: tuple[str, ...], match: str, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(HardenerError, match=match):
        train(request(model_file, image_folder, tmp_path, sets=sets), Recorder())


def test_a_recipe_that_is_otherwise_for_trained_weights_says_so_and_stays_so_when_it_resumes(
    first: RunFolder, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    reporter, sets = Recorder(25), ("fine_tuning.averaging.name=ema",)
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path, "gaussian", sets, init=first.path, name="r"), reporter)
    told = "gaussian, since it starts from trained weights: averaging.name=ema. --set has the last word"
    assert told in reporter.said
    assert any(line.startswith("of 3,068 photographs at 128 pixels, fine-tuning made: ") for line in reporter.said)
    assert not any("trains against an attacker" in line for line in reporter.said)
    run = resume(RunFolder(tmp_path / "r"), Recorder(), device="cpu")
    recipe = run.read_recipe()
    assert recipe.averaging is not None
    assert (recipe.averaging.name, recipe.fine_tuning) == ("ema", {})
    assert first.read_recipe().averaging is None


def test_sprout_from_trained_weights_has_noise_on_some_images_where_nothing_else_is_asked_for(
    first: RunFolder, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    assert first.read_recipe().vicinity.on().keys() == {"noise_sigma", "mixup_alpha", "labels"}
    run = train(request(model_file, image_folder, tmp_path, init=first.path), Recorder())
    assert run.read_recipe().vicinity.on().keys() == {"patch_gaussian", "labels"}
    asked = load_recipe("sprout", ["vicinity.noise_sigma=0.05", "vicinity.patch_gaussian.chance=0.25"])
    settled, _ = settle(asked, trained=True, side=8)
    assert (settled.vicinity.noise_sigma, settled.vicinity.own(PatchNoise).chance) == (0.05, 0.25)
    off, given = settle(load_recipe("sprout", ["vicinity.patch_gaussian=null"]), trained=True, side=8)
    assert off.vicinity.on().keys() == {"labels"}, "a section that is asked for as a whole has the last word too"
    assert not any(key.startswith("vicinity.patch_gaussian") for key in given)


def test_hardened_says_its_eps_and_what_it_rises_by(
    first: RunFolder, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    reporter = Recorder()
    run = train(request(model_file, image_folder, tmp_path, recipe="hardened", init=first.path), reporter)
    assert "trains against an attacker: linf 8/255. --set vicinity.adversarial.eps=EPS chooses another eps" in (
        reporter.said
    )
    assert [metrics.eps for metrics in reporter.epochs] == sorted(metrics.eps or 0 for metrics in reporter.epochs)
    assert (reporter.epochs[0].eps or 0) < (reporter.epochs[-1].eps or 0) == 8 / 255
    assert run.read_recipe().large_images == {}


def test_layers_learn_at_their_share_of_the_rate_whatever_the_schedule(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    reporter = Recorder()
    sets = ("optimizer.layer_decay=0.25", "epochs=2")
    run = train(request(model_file, image_folder, tmp_path, sets=sets), reporter)
    groups = torch.load(run.checkpoint, weights_only=True)["theta"]["param_groups"]
    assert [group["lr_scale"] for group in groups] == [0.25, 1.0]
    assert groups[0]["lr"] == groups[1]["lr"] / 4 == reporter.epochs[-1].learning_rate / 4


def test_a_run_with_smooth_activations_opens_with_them(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    run = train(request(model_file, image_folder, tmp_path, sets=("network.activation=softplus",)), Recorder())
    assert run.read_record().model.activation == "softplus"
    network = open_classifier(run, run.read_record()).network
    assert [type(module) for module in network.modules() if "ctivation" in type(module).__module__] == [nn.Softplus]


def test_a_surrogate_is_of_the_same_architecture_and_learns_whole(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("network.activation=gelu", "network.freeze=['0']", "optimizer.layer_decay=0.5", "epochs=1")
    run = train(request(model_file, image_folder, tmp_path, sets=sets), Recorder())
    surrogate = surrogate_of(run, Recorder(), device="cpu")
    recipe = surrogate.read_recipe()
    assert surrogate.read_record().model.activation == "gelu"
    assert (recipe.network.freeze, recipe.optimizer.layer_decay) == ([], 1.0)


def test_what_fits_no_network_is_said_before_anything_is_written(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    smooth = tmp_path / "smooth.py"
    smooth.write_text(model_file.read_text().replace("ReLU", "GELU"))
    for model, setting, match in (
        (model_file, "network.freeze=['layer1']", "--freeze 'layer1' matches no module of the model"),
        (model_file, "network.freeze=['*']", r"--freeze \* leaves nothing to learn"),
        (smooth, "network.activation=silu", "replaces nn.ReLU, and the model has none: it has GELU"),
    ):
        with pytest.raises(HardenerError, match=match):
            train(request(model, image_folder, tmp_path / "runs", sets=(setting,)), Recorder())
    assert not (tmp_path / "runs").exists()


def test_a_frozen_norm_that_becomes_one_over_processes_is_as_frozen() -> None:
    """The exchange of modules alone, which needs no GPU."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    freeze(network, ["0", "1"], num_classes=2)
    classifier = ImageClassifier(network, mean=[], std=[], classes=["a", "b"])
    sync_batch_norm(classifier, torch.device("cuda"))
    classifier.train()
    norms = [module for module in classifier.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert [norm.training for norm in norms] == [False, True]
    assert [norm.weight.requires_grad for norm in norms] == [False, True]


def test_what_the_bench_of_fine_tuning_trains_are_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench" / "training"))
    bench = importlib.import_module("fine_tune_recipes")
    for run in bench.RUNS.values():
        assert load_recipe(run.recipe, run.sets).epochs > 0
    assert bench.mean_up_to({0: 1.0, 0.5: 0.5, 1: 0.5, 4: 0.0}, 1) == pytest.approx(0.625)
