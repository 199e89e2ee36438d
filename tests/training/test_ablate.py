"""The eight combinations, whole and in pieces."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import TINY_MODEL, write_image_folder

from hardener.config.ablation_record import Ablation, read_ablation, weakest_first
from hardener.config.evaluation_record import Evaluation
from hardener.config.reading import Reading
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, Interrupted
from hardener.progress import EpochMetrics, Silent
from hardener.statistics.paired import read_outcomes
from hardener.training.ablate import AblateRequest, _check, _evaluation, ablate
from hardener.training.journal import Journal
from hardener.training.module_sets import check_modules, module_sets, name_of, recipe_with
from hardener.training.validation import Validator

NAMES = ["natural", "noise", "mixup", "labels", "noise+mixup", "noise+labels", "mixup+labels", "noise+mixup+labels"]
SMALL = ["epochs=1", "batch_size=10", "validation.samples=4", "validation.steps=1"]


class Recorder(Silent):
    """Keeps what is said; sends this process a Ctrl-C when the `stop_at`-th piece of work called `what` begins."""

    def __init__(self, what: str = "", stop_at: int = 0) -> None:
        self.said: list[str] = []
        self.trained = 0
        self.what, self.left = what, stop_at

    def say(self, text: str) -> None:
        self.said.append(text)

    warn = say

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        pass

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        self.left -= bool(self.what) and what.startswith(self.what)

        def advance(done: int) -> None:
            if self.what and what.startswith(self.what) and self.left == 0 and done:
                self.left = -1
                os.kill(os.getpid(), signal.SIGINT)

        return nullcontext(advance)

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        self.trained += 1


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a model file, and the finished ablation `done`; tests only add to it."""
    folder = tmp_path_factory.mktemp("ablation")
    write_image_folder(folder / "imgs", {"cat": 12, "dog": 12})
    (folder / "tiny.py").write_text(TINY_MODEL)
    ablate(request(folder, name="done"), Recorder())
    return folder


def request(home: Path, sets: tuple[str, ...] = (), recipe: str = "sprout", **rest: Any) -> AblateRequest:
    return AblateRequest(
        **{
            "model": str(home / "tiny.py"),
            "data": home / "imgs",
            "recipe": load_recipe(recipe, [*SMALL, *sets]),
            "attacks": ("fgsm",),
            "eps": 0.1,
            "device": "cpu",
            "out": home / "runs",
            "name": "new",
            **rest,
        }
    )


def test_the_eight_differ_in_the_modules_alone() -> None:
    assert [name_of(modules) for modules in module_sets()] == NAMES
    base = load_recipe("sprout", ["epochs=7", "optimizer.lr=0.01"])
    natural = load_recipe("natural", ["epochs=7", "optimizer.lr=0.01"])
    assert recipe_with(base, ("noise", "mixup", "labels")) == base
    for modules in module_sets():
        recipe = recipe_with(base, modules)
        assert recipe.model_copy(update={"name": "", "vicinity": base.vicinity}) == base.model_copy(update={"name": ""})
        for module, field in (("noise", "noise_sigma"), ("mixup", "mixup_alpha")):
            source = base if module in modules else natural
            assert getattr(recipe.vicinity, field) == getattr(source.vicinity, field)
        assert recipe.vicinity.labels.law == ("budget" if "labels" in modules else "one-hot")


@pytest.mark.slow
@pytest.mark.long
def test_without_copies_all_are_trained_and_judged_without_them(home: Path) -> None:
    asked = request(home, reading=Reading(dedupe=True))
    assert _check(asked).reading.dedupe
    assert _evaluation(asked, home).dedupe
    assert not _evaluation(request(home), home).dedupe


def test_the_folder_holds_eight_runs_a_record_and_a_figure(home: Path) -> None:
    folder = home / "runs" / "done"
    assert {path.name for path in folder.iterdir()} == {*NAMES, "ablation.json", "ablation.png"}
    assert (folder / "ablation.png").read_bytes().startswith(b"\x89PNG")
    ablation = read_ablation(folder / "ablation.json")
    assert (ablation.status, ablation.split, ablation.samples) == ("finished", "test", 2)
    assert (ablation.asked.attacks, ablation.asked.suite, ablation.asked.seed) == (["fgsm"], None, 0)
    assert (ablation.asked.threat.norm, ablation.asked.threat.eps) == ("linf", 0.1)
    assert [done.name for done in ablation.combinations] == NAMES
    for done in ablation.combinations:
        run = RunFolder(folder / done.run)
        record, recipe = run.read_record(), run.read_recipe()
        assert (record.status, record.seed, record.seconds) == ("finished", 0, done.seconds)
        assert recipe.vicinity == recipe_with(load_recipe("sprout"), done.modules).vicinity
        evaluation = Evaluation.model_validate_json((run.path / done.evaluation).read_bytes())
        assert (done.clean_accuracy, done.robust_accuracy) == (evaluation.clean_accuracy, evaluation.robust_accuracy)
        assert (done.clean_interval, done.interval) == (evaluation.clean_interval, evaluation.interval)
        assert done.cost == done.epoch_seconds / ablation.combinations[0].epoch_seconds
    shown = [done.robust_accuracy for done in weakest_first(ablation)]
    assert shown == sorted(shown)


def test_an_effect_is_the_mean_of_the_four_differences(home: Path) -> None:
    ablation = read_ablation(home / "runs" / "done" / "ablation.json")
    by_modules = {frozenset(done.modules): done for done in ablation.combinations}
    for effect in ablation.effects:
        pairs = [
            (one, by_modules[own | {effect.module}]) for own, one in by_modules.items() if effect.module not in own
        ]
        assert len(pairs) == 4
        robust = sum(two.robust_accuracy - one.robust_accuracy for one, two in pairs) / 4
        clean = sum(two.clean_accuracy - one.clean_accuracy for one, two in pairs) / 4
        assert (effect.robust.difference, effect.clean.difference) == pytest.approx((robust, clean))
        for change in (effect.clean, effect.robust):
            low, high = change.interval
            assert -1 <= low <= change.difference <= high <= 1


def test_the_record_reads_back_as_it_was_written_and_nothing_else_is_read(home: Path, tmp_path: Path) -> None:
    file = home / "runs" / "done" / "ablation.json"
    written = json.loads(file.read_text())
    assert written["schema"] == "hardener/ablation/1"
    assert read_ablation(file).model_dump(by_alias=True, mode="json") == written
    other = tmp_path / "ablation.json"
    other.write_text(json.dumps({**written, "more": 1}))
    with pytest.raises(HardenerError, match="is no ablation that this version reads: more"):
        read_ablation(other)


def test_what_is_done_is_not_done_again(home: Path, tmp_path: Path) -> None:
    before = read_ablation(home / "runs" / "done" / "ablation.json")
    reporter = Recorder()
    again, folder = ablate(request(home, name="done", json_file=tmp_path / "a.json"), reporter)
    assert folder == home / "runs" / "done"
    assert reporter.trained == 0
    assert again == before
    assert read_ablation(tmp_path / "a.json") == before
    assert len(list((folder / "noise" / "eval").glob("*.json"))) == 1


def shape(ablation: Ablation) -> list[tuple[str, float, float, str]]:
    return [(done.name, done.clean_accuracy, done.robust_accuracy, done.fingerprint) for done in ablation.combinations]


def test_stopped_and_asked_again_it_equals_the_straight_one(home: Path, tmp_path: Path) -> None:
    """Stopped in the first attack, then in the second training."""
    asked = request(home, out=tmp_path)
    folder = tmp_path / "new"
    with pytest.raises(Interrupted, match=r"at 1 of 8, natural\. The same command with --name new goes on") as stopped:
        ablate(asked, Recorder("attacking", 1))
    assert stopped.value.exit_code == 130
    assert read_ablation(folder / "ablation.json").combinations == []
    trained = (folder / "natural" / "run.json").read_bytes()
    with pytest.raises(Interrupted, match="at 2 of 8, noise"):
        ablate(asked, Recorder("training", 1))
    assert [done.name for done in read_ablation(folder / "ablation.json").combinations] == ["natural"]
    assert RunFolder(folder / "noise").read_record().status == "interrupted"
    reporter = Recorder()
    ablation, _ = ablate(asked, reporter)
    assert f"going on with {folder}: 1 of 8 are done" in reporter.said
    assert "2 of 8, noise: training" in reporter.said
    assert (folder / "natural" / "run.json").read_bytes() == trained
    assert shape(ablation) == shape(read_ablation(home / "runs" / "done" / "ablation.json"))


@pytest.mark.parametrize("works", [(Validator, "measure"), (Journal, "draw")])
def test_a_stop_that_comes_too_late_for_a_training_ends_the_ablation_after_it(
    works: tuple[type, str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the last epoch is validated, and while the curves are drawn; then nothing is left to stop."""
    do = getattr(*works)
    asked = request(home, out=tmp_path)
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=r"at 1 of 8, natural\. The same"):

        def stopped(*words: Any, **named: Any) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            return do(*words, **named)

        patch.setattr(*works, stopped)
        ablate(asked, Recorder())
    folder = tmp_path / "new"
    assert RunFolder(folder / "natural").read_record().status == "finished"
    assert read_ablation(folder / "ablation.json").combinations == []
    reporter = Recorder("training", 1)
    with pytest.raises(Interrupted, match="at 2 of 8, noise"):
        ablate(asked, reporter)
    assert "1 of 8, natural: training" not in reporter.said
    assert [done.name for done in read_ablation(folder / "ablation.json").combinations] == ["natural"]


def test_a_run_that_was_lost_or_changed_is_made_again(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "done"
    shutil.copytree(home / "runs" / "done", folder)
    shutil.rmtree(folder / "mixup")
    (folder / "noise" / "model.safetensors").unlink()
    shutil.rmtree(folder / "labels" / "eval")
    reporter = Recorder()
    ablation, _ = ablate(request(home, name="done", out=tmp_path), reporter)
    assert reporter.trained == 2
    assert shape(ablation) == shape(read_ablation(home / "runs" / "done" / "ablation.json"))


@pytest.mark.parametrize(
    ("rest", "sets", "message"),
    [
        ({}, ("epochs=2",), "there recipe.epochs is 1, now it is 2"),
        ({}, ("vicinity.mixup_alpha=0.5",), "there recipe.vicinity.mixup_alpha is 0.2, now it is 0.5"),
        ({"seed": 1}, (), "there seed is 0, now it is 1"),
        ({"eps": 0.2}, (), "there threat.eps is 0.1, now it is 0.2"),
        ({"norm": "l2"}, (), "there threat.norm is linf, now it is l2"),
        ({"attacks": (), "suite": "quick"}, (), "there suite is null, now it is quick"),
        ({"attacks": ("pgd",)}, (), r"there attacks is \[\"fgsm\"\], now it is \[\"pgd\"\]"),
        ({"samples": 1}, (), "there samples is 1000, now it is 1"),
        ({"data": Path("elsewhere")}, (), "there data is"),
        ({"model": "timm:resnet10t"}, (), "there model is"),
    ],
)
def test_a_folder_of_another_request_is_refused(
    rest: dict[str, Any], sets: tuple[str, ...], message: str, home: Path
) -> None:
    with pytest.raises(HardenerError, match=f"belongs to another ablation: {message}.*Choose another --name"):
        ablate(request(home, sets, **{"name": "done", **rest}), Recorder())


def test_a_model_file_that_changed_is_another_request(home: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny.py"
    model.write_text(TINY_MODEL)
    asked = request(home, model=str(model), out=tmp_path)
    with pytest.raises(Interrupted):
        ablate(asked, Recorder("training", 1))
    model.write_text(TINY_MODEL + "\n")
    with pytest.raises(HardenerError, match="there model_sha256 is"):
        ablate(asked, Recorder())


def test_images_and_models_that_changed_on_the_way_are_refused(home: Path, tmp_path: Path) -> None:
    """What the request does not tell: the images below the folder, and what the model file imports."""
    data, model, part = tmp_path / "imgs", tmp_path / "net.py", tmp_path / "net_part.py"
    shutil.copytree(home / "imgs", data)
    model.write_text("from net_part import build_model\n")
    part.write_text(TINY_MODEL)
    asked = request(home, model=str(model), data=data, out=tmp_path)
    with pytest.raises(Interrupted):
        ablate(asked, Recorder("training", 2))
    folder = tmp_path / "new"
    natural = read_ablation(folder / "ablation.json").combinations[0]
    outcomes = read_outcomes((folder / "natural" / natural.evaluation).with_suffix(".npz"))
    for name in outcomes.paths:
        shutil.copy(home / "imgs" / "cat" / "000.png", data / name)
    with pytest.raises(HardenerError, match="the images changed since the ablation was begun: .*noise was evaluated"):
        ablate(asked, Recorder())
    for what in ("model", "images"):
        shutil.rmtree(folder / "noise")
        part.write_text(TINY_MODEL + "\n" * (what == "model"))
        if what == "images":
            write_image_folder(data, {"cat": 12, "dog": 12}, seed=1)
        with pytest.raises(HardenerError, match=f"the {what} changed since .*new was begun: .*noise has others"):
            ablate(asked, Recorder())


@pytest.mark.parametrize(
    ("recipe", "sets", "message"),
    [
        ("natural", (), "natural noise, mixup, labels are off already.*turn them on, such as by --set vicinity.noise"),
        ("mixup", (), "mixup noise, labels are off already"),
        (
            "sprout",
            ("vicinity.mixup_alpha=0",),
            "sprout mixup is off already.*turn it on, such as by --set vicinity.mix",
        ),
        ("sprout", ("vicinity.labels.smoothing=0",), "sprout labels is off already"),
    ],
)
def test_a_recipe_without_one_of_the_modules_is_refused(
    recipe: str, sets: tuple[str, ...], message: str, home: Path
) -> None:
    with pytest.raises(HardenerError, match=message):
        ablate(request(home, sets, recipe), Recorder())


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"attacks": ("pdg",)}, "unknown attack 'pdg'.*Did you mean 'pgd'"),
        ({"attacks": (), "suite": "standart"}, "unknown suite 'standart'.*Did you mean 'standard'"),
        ({"eps": 8.0}, "Did you mean 8/255"),
        ({"precision": "half"}, "unknown precision 'half'"),
        ({"device": "abacus"}, "unknown device 'abacus'"),
        ({"model": "none.py"}, "no model file none.py"),
        ({"data": Path("nowhere")}, "nowhere"),
        ({"json_file": Path("none/a.json")}, "no such folder: none, for --json"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(
    rest: dict[str, Any], message: str, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(HardenerError, match=message):
        ablate(request(home, **{"out": tmp_path, **rest}), Recorder())
    assert list(tmp_path.iterdir()) == []


def test_several_processes_and_strange_folders_are_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "thesis.tex").touch()
    with pytest.raises(HardenerError, match="new exists and holds no ablation: choose another --name"):
        ablate(request(home, out=tmp_path), Recorder())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(HardenerError, match="works in one process"):
        ablate(replace(request(home), out=tmp_path), Recorder())


def test_transfer_attacks_come_from_the_natural_run(home: Path, tmp_path: Path) -> None:
    """Stopped after the second combination: both are attacked from the natural run, that one from itself."""
    with pytest.raises(Interrupted):
        ablate(request(home, out=tmp_path, attacks=("transfer",)), Recorder("training", 3))
    for done in read_ablation(tmp_path / "new" / "ablation.json").combinations:
        evaluation = Evaluation.model_validate_json((tmp_path / "new" / done.run / done.evaluation).read_bytes())
        assert evaluation.attacks[0].settings["surrogate"] == "natural"


def test_outcomes_are_of_the_same_images(home: Path) -> None:
    folder = home / "runs" / "done"
    found = [
        read_outcomes((folder / done.run / done.evaluation).with_suffix(".npz"))
        for done in read_ablation(folder / "ablation.json").combinations
    ]
    assert {outcomes.paths for outcomes in found} == {found[0].paths}
    assert all(np.all(outcomes.robust <= outcomes.clean) for outcomes in found)


def test_a_recipe_that_sets_a_module_anew_for_large_images_is_refused() -> None:
    recipe = load_recipe("sprout", ["large_images.vicinity.noise_sigma=0.05"])
    with pytest.raises(HardenerError, match=r"sets large_images\.vicinity\.noise_sigma, which would set it again"):
        check_modules(recipe)
