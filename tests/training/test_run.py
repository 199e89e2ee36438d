from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import zipfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import write_image_folder
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.recipe import load_recipe, recipe_files
from hardener.config.run_folder import RunFolder, find_run
from hardener.errors import Failure, HardenerError, Interrupted
from hardener.models.trained import open_classifier
from hardener.progress import EpochMetrics, Silent
from hardener.training.checkpoint import before
from hardener.training.prepare import prepare
from hardener.training.run import TrainRequest, resume, train
from hardener.words import NO_BREAK, percent

SMALL = ["batch_size=5", "validation.samples=4", "validation.steps=2", "optimizer.lr=0.02"]


class Recorder(Silent):
    """Keeps what is said; `interrupt_at` images of training it sends this process a Ctrl-C."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.epochs: list[EpochMetrics] = []
        self.interrupt_at = interrupt_at

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)
        self.warned.append(text)

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        pass

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        seen = 0

        def advance(done: int) -> None:
            nonlocal seen
            seen += done
            if what == "training" and self.interrupt_at is not None and seen >= self.interrupt_at:
                self.interrupt_at = None
                os.kill(os.getpid(), signal.SIGINT)

        return nullcontext(advance)

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        self.epochs.append(metrics)


def request(
    model: Path, data: Path, out: Path, recipe: str = "sprout", sets: tuple[str, ...] = (), **rest: Any
) -> TrainRequest:
    return TrainRequest(
        model=str(model),
        data=data,
        recipe=load_recipe(recipe, [*SMALL, "epochs=3", *sets]),
        out=out,
        device="cpu",
        **rest,
    )


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return open_classifier(run, run.read_record()).network.state_dict()


def rows(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what a clock says."""
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [{key: line[key] for key in line if key not in {"images_per_s", "seconds", "waiting"}} for line in lines]


@pytest.mark.parametrize("recipe", recipe_files())
def test_every_recipe_trains(recipe: str, model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    reporter = Recorder()
    run = train(request(model_file, image_folder, tmp_path / "runs", recipe, ("epochs=1",)), reporter)
    assert run.read_record().status == "finished"
    assert len(reporter.epochs) == 1
    loaded = load_recipe(recipe)
    learns = loaded.vicinity.labels.law not in {"one-hot", "uniform"} and loaded.beta.learn
    assert (reporter.epochs[0].beta_min is not None) == learns


def test_the_run_folder_says_everything(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    run = train(request(model_file, image_folder, tmp_path / "runs"), Recorder())
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    events = {name for name in names if name.startswith("tensorboard/")}
    assert len(events) == 1
    assert names - events == {
        "recipe.yaml",
        "run.json",
        "model.safetensors",
        "model/tiny.py",
        "images.npz",
        "metrics.jsonl",
        "train.png",
        "train.html",
        "checkpoint/last.pt",
    }
    record = run.read_record()
    assert (record.epochs_done, record.seed, record.classes) == (3, 0, ["cat", "dog"])
    assert set(record.versions) >= {"python", "torch", "hardener"}
    assert record.data.splits["train"].images == 20
    assert (record.input.height, record.input.width, record.input.channels) == (8, 8, 1)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    best = max(rows, key=lambda row: (row["clean_accuracy"] + row["robust_accuracy"]) / 2)
    assert record.best is not None
    assert record.best.epoch == best["epoch"]
    assert run.curves.read_bytes().startswith(b"\x89PNG")
    assert f"<b>{percent(record.best.clean_accuracy, NO_BREAK)}</b>" in run.train_page.read_text()
    assert find_run(None, tmp_path / "runs").path == run.path
    # a model that was trained is opened from the run's own copy, not from the user's file
    model_file.unlink()
    assert open_classifier(run, record)(torch.zeros(2, 1, 8, 8)).shape == (2, 2)


@pytest.mark.parametrize("recipe", ["sprout", "sprout-reference"])
@pytest.mark.parametrize("interrupt_at", [5, 20, 35])
def test_a_resumed_run_equals_the_straight_one_bit_for_bit(
    recipe: str,
    interrupt_at: int,
    model_file: Path,
    image_folder: Path,
    tmp_path: Path,
    straight: Callable[[str], RunFolder],
) -> None:
    """Stopped after a minibatch, at the end of an epoch, and in the middle of a later one."""
    undisturbed = straight(recipe)
    with pytest.raises(Interrupted, match="nothing is lost. Go on with: hardener train --resume"):
        train(request(model_file, image_folder, tmp_path / "b", recipe, name="stopped"), Recorder(interrupt_at))
    stopped = RunFolder(tmp_path / "b" / "stopped")
    assert stopped.read_record().status == "interrupted"
    torch.manual_seed(12345)  # the state of this process must not matter
    resumed = resume(stopped, Recorder(), device="cpu")
    assert resumed.read_record().status == "finished"
    ours, theirs = (torch.load(run.checkpoint, weights_only=True) for run in (undisturbed, resumed))
    for key in ("network", "method"):
        assert all(torch.equal(ours[key][name], theirs[key][name]) for name in ours[key])
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(undisturbed).items())
    assert rows(undisturbed) == rows(resumed)


@pytest.mark.parametrize("balance", ["sampler", "weights"])
def test_uneven_classes_are_told_and_a_balanced_run_resumes_bit_for_bit(
    balance: str, model_file: Path, tmp_path: Path
) -> None:
    data = write_image_folder(tmp_path / "uneven", {"cat": 24, "dog": 6})
    sets = (f"data.balance={balance}",)
    heard = Recorder()
    straight = train(request(model_file, data, tmp_path / "a", sets=sets, name="straight"), heard)
    assert any(text.startswith(f"data.balance={balance}: ") for text in heard.said)
    with pytest.raises(Interrupted):
        train(request(model_file, data, tmp_path / "b", sets=sets, name="stopped"), Recorder(20))
    resumed = resume(RunFolder(tmp_path / "b" / "stopped"), Recorder(), device="cpu")
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(straight).items())
    assert rows(resumed) == rows(straight)
    plain = weights(train(request(model_file, data, tmp_path / "c"), Recorder()))
    assert not all(torch.equal(value, plain[name]) for name, value in weights(straight).items())
    best = straight.read_record().best
    assert best is not None
    cat, dog = best.class_accuracies
    assert best.balanced_accuracy is None or best.balanced_accuracy == pytest.approx((cat + dog) / 2)  # type: ignore[operator]


def test_a_class_of_which_no_image_can_be_read_is_an_error(model_file: Path, tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12, "owl": 4})
    for file in (data / "owl").iterdir():
        file.write_bytes(b"none")
    with pytest.raises(HardenerError, match="no training image of owl can be read.*leave them out: --ignore owl"):
        train(request(model_file, data, tmp_path, skip_bad_images=True), Recorder())


def test_the_seed_decides_everything(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    first, again, other = (
        weights(train(request(model_file, image_folder, tmp_path / str(i), sets=("epochs=1",), seed=seed), Recorder()))
        for i, seed in enumerate((0, 0, 1))
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_run_resumes_only_on_its_own_data_and_only_while_unfinished(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "runs", name="r"), Recorder(7))
    run = RunFolder(tmp_path / "runs" / "r")
    kept = (image_folder / "cat" / "000.png").read_bytes()
    shutil.copy(image_folder / "cat" / "001.png", image_folder / "cat" / "000.png")
    shutil.copy(image_folder / "dog" / "001.png", image_folder / "dog" / "000.png")
    with pytest.raises(HardenerError, match="has changed since the run began"):
        resume(run, Recorder())
    (image_folder / "cat" / "000.png").write_bytes(kept)
    write_image_folder(image_folder, {"cat": 12, "dog": 12})
    resume(run, Recorder(), device="cpu")
    with pytest.raises(HardenerError, match="is finished: 3 epochs are done"):
        resume(run, Recorder())


@pytest.mark.parametrize("killed", [False, True])
def test_a_finished_run_that_lacks_its_page_gets_it_and_a_whole_one_is_refused(
    killed: bool, model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by two Ctrl-C before the page; or killed before, with curves not drawn, spares left, and a full disk."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    whole = train(request(model_file, image_folder, tmp_path / "a", "natural", name="r"), Recorder())

    def stopped(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="at once. The run is finished. .* --resume"):
        patch.setattr("hardener.training.session.look_back", stopped)
        train(request(model_file, image_folder, tmp_path / "b", "natural", name="r"), Recorder())
    run = RunFolder(tmp_path / "b" / "r")
    assert (run.read_record().status, run.train_page.exists()) == ("finished", False)
    if killed:
        run.curves.unlink()
        shutil.copy(run.checkpoint, before(run.checkpoint))
        shutil.copy(run.checkpoint, run.good_checkpoint)
        reporter = Recorder()
        with monkeypatch.context() as patch:
            patch.setattr("hardener.training.looking_back.write_training_page", full)
            resume(run, reporter, device="cpu")
        made = f"could not be made: [Errno 28] No space left on device. Make it later with: {run.going_on}"
        assert reporter.warned == [f"{run.train_page} {made}"]
    written = run.record_file.read_bytes()
    assert resume(run, Recorder(), device="cpu").path == run.path
    page = run.train_page.read_text().replace(str(run.path), str(whole.path))
    assert (page, run.record_file.read_bytes()) == (whole.train_page.read_text(), written)
    assert (run.curves.is_file(), [path.name for path in run.checkpoint.parent.iterdir()]) == (True, ["last.pt"])
    with pytest.raises(HardenerError, match="is finished: 3 epochs are done"):
        resume(run, Recorder())


@pytest.mark.parametrize("older", [False, True])
def test_a_recipe_that_was_changed_is_refused_and_the_command_that_is_named_begins_a_new_run(
    older: bool, model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older run does not know its recipe again; its optimiser's state is another's all the same."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "runs", "natural", name="r"), Recorder(7))
    run = RunFolder(tmp_path / "runs" / "r")
    written = run.recipe_file.read_text()
    run.recipe_file.write_text(written.replace("epochs: 3", "epochs: 1").replace("name: sgd", "name: adamw"))
    if older:
        run.write_record(run.read_record().model_copy(update={"recipe_sha256": None}))
    said = "does not fit the model or recipe of its run" if older else "recipe.yaml has changed since the run began"
    with pytest.raises(HardenerError, match=f"{said}.* begin a new run[^:]*: hardener train ") as refused:
        resume(run, Recorder(), device="cpu")
    command = shlex.split(str(refused.value).rpartition(": hardener ")[2])
    begun = CliRunner().invoke(app, [*command, "--out", "new", "--device", "cpu"])
    assert begun.exit_code == 0, begun.output
    run.recipe_file.write_text("# as it was\n" + written)
    assert resume(run, Recorder(), device="cpu").read_record().epochs_done == 3


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def flipped(path: Path) -> None:
    """Flip a bit of the largest tensor; between two of them a file has bytes that nobody reads."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        content[content.index(archive.read(largest)) + largest.file_size // 2] ^= 1
    path.write_bytes(content)


def lost(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("spoil", [torn, flipped, lost])
def test_a_torn_checkpoint_is_recognised_and_the_one_before_is_used(
    spoil: Callable[[Path], None],
    model_file: Path,
    image_folder: Path,
    tmp_path: Path,
    straight: Callable[[str], RunFolder],
) -> None:
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "b", name="r"), Recorder(27))
    run = RunFolder(tmp_path / "b" / "r")
    spoil(run.checkpoint)
    reporter = Recorder()
    resumed = resume(run, reporter, device="cpu")
    assert any("Going on from the checkpoint before it" in said for said in reporter.said)
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(straight("sprout")).items())
    assert [row.epoch for row in reporter.epochs] == [2, 3]


def test_two_damaged_checkpoints_are_one_clear_error(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "runs", name="r"), Recorder(7))
    run = RunFolder(tmp_path / "runs" / "r")
    torn(run.checkpoint)
    torn(before(run.checkpoint))
    with pytest.raises(HardenerError, match=r"before.pt is damaged"):
        resume(run, Recorder())
    before(run.checkpoint).unlink()
    with pytest.raises(HardenerError, match=r"last.pt is damaged"):
        resume(run, Recorder())
    with zipfile.ZipFile(run.checkpoint, "w") as archive:
        archive.writestr("\u00e9", "")
    run.checkpoint.write_bytes(run.checkpoint.read_bytes().replace("\u00e9".encode(), b"\xc3("))  # no UTF-8
    with pytest.raises(HardenerError, match=r"last.pt is damaged"):
        resume(run, Recorder())


def test_a_loss_that_is_not_finite_ends_the_run_and_says_what_to_do(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    wild = ("optimizer.lr=1e30", "optimizer.warmup_epochs=0")
    wanted = request(model_file, image_folder, tmp_path / "runs", "natural", wild)
    with pytest.raises(Failure, match=r"the loss became (nan|inf) in epoch \d. Clip the gradients") as caught:
        train(wanted, Recorder())
    assert caught.value.options == "--set optimizer.gradient_clip=1"
    wanted = request(model_file, image_folder, tmp_path / "runs", "natural", (*wild, caught.value.options[6:]))
    with pytest.raises(Failure, match=r"the loss became (nan|inf) in epoch \d. Lower the learning rate"):
        train(wanted, Recorder())
    assert list((tmp_path / "runs").iterdir()) == []  # no epoch came of it, and going on would end alike


def test_nothing_is_left_when_the_request_is_wrong(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (image_folder / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(HardenerError, match="1 of 20 images cannot be read|1 of 2 images cannot be read"):
        train(request(model_file, image_folder, runs), Recorder())
    ten = tmp_path / "ten.py"
    ten.write_text("from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n")
    with pytest.raises(
        HardenerError, match=r"the model has 10 outputs and the data has 2 classes. Pass --replace-head"
    ):
        train(request(ten, image_folder, runs), Recorder())
    assert not runs.exists()


def test_a_head_is_replaced_on_request_and_the_run_opens_again(image_folder: Path, tmp_path: Path) -> None:
    ten = tmp_path / "ten.py"
    ten.write_text("from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n")
    reporter = Recorder()
    run = train(request(ten, image_folder, tmp_path / "runs", replace_head=True), reporter)
    assert "final layer 1 replaced: 10 → 2 outputs" in reporter.said
    assert open_classifier(run, run.read_record())(torch.zeros(1, 1, 8, 8)).shape == (1, 2)


def test_training_starts_from_init(
    model_file: Path, image_folder: Path, tmp_path: Path, straight: Callable[[str], RunFolder]
) -> None:
    first = straight("sprout")
    frozen = ("optimizer.lr=1e-30", "epochs=1", "optimizer.weight_decay=0")
    again = train(request(model_file, image_folder, tmp_path / "b", "natural", frozen, init=first.weights), Recorder())
    learned, kept = weights(first), weights(again)
    assert all(
        torch.equal(learned[name], kept[name]) for name in learned if "running" not in name and "tracked" not in name
    )


def test_weights_of_a_run_that_was_stopped_are_told_to_be_the_best_so_far(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path, "natural", name="r"), Recorder(27))
    run, warned = RunFolder(tmp_path / "r"), []
    for init in (run.path, run.weights, run.checkpoint):
        reporter = Recorder()
        train(request(model_file, image_folder, tmp_path, "natural", init=init), reporter)
        warned += [text for text in reporter.warned if "was not trained to its end" in text]
    said = "1 of 3 epochs are done, and the weights are the best of these. Go on with"
    assert warned == [f"{run.path} was not trained to its end: {said}: {run.going_on}"] * 2
    resume(run, Recorder(), device="cpu")
    reporter = Recorder()
    train(request(model_file, image_folder, tmp_path, "natural", init=run.path), reporter)
    assert reporter.warned == []


def test_gray_images_feed_a_colour_model_and_colour_images_a_gray_one(tmp_path: Path) -> None:
    for color, channels in ((False, 3), (True, 1)):
        data = write_image_folder(tmp_path / f"d{channels}", {"a": 8, "b": 8}, color=color)
        model = tmp_path / f"m{channels}.py"
        model.write_text(
            "from torch import nn\n"
            "def build_model(num_classes):\n"
            f" layers = nn.Conv2d({channels}, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)\n"
            " return nn.Sequential(*layers)\n"
        )
        reporter = Recorder()
        run = train(request(model, data, tmp_path / "runs", sets=("epochs=1",), name=str(channels)), reporter)
        assert run.read_record().input.channels == channels
        assert any("turned to gray" in text for text in reporter.said) == color


def test_the_image_size_is_the_datas_own_or_224_or_what_is_asked_for(model_file: Path, tmp_path: Path) -> None:
    alike = write_image_folder(tmp_path / "alike", {"a": 6, "b": 6}, size=(10, 6))
    mixed = write_image_folder(tmp_path / "mixed", {"a": 6, "b": 6}, size=(10, 6))
    write_image_folder(mixed, {"a": 6, "c": 6}, size=(12, 12))
    for data, sets, expected in (
        (alike, (), (6, 10)),
        (mixed, (), (224, 224)),
        (mixed, ("data.image_size=16",), (16, 16)),
    ):
        shape = prepare(request(model_file, data, tmp_path, sets=sets), Recorder()).material.train_images.shape
        assert (shape.height, shape.width) == expected


def test_two_runs_at_once_get_folders_of_their_own(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    wanted = request(model_file, image_folder, tmp_path / "runs", sets=("epochs=1",))
    paths = {train(wanted, Recorder()).path for _ in range(2)}
    assert len(paths) == 2
    named = request(model_file, image_folder, tmp_path / "runs", sets=("epochs=1",), name="mine")
    train(named, Recorder())
    with pytest.raises(HardenerError, match="mine exists. Choose another --name"):
        train(named, Recorder())


SILENT_WHEN_ASKED = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(64, num_classes)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        if self.training:
            self.seen += 1
        gone = (self.seen > 3) & (x[:, 0, 0, 0] >= LEAST)
        return self.fc(x.flatten(1)) + torch.where(gone & torch.tensor(not self.training), torch.nan, 0.0).unsqueeze(1)
"""


def test_a_network_that_stops_answering_ends_its_run_and_images_without_an_answer_are_wrong(
    image_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.py"
    path.write_text(SILENT_WHEN_ASKED.replace("LEAST", "-1000"))
    with pytest.raises(Failure, match="after epoch 1 the network's answers to all validation images are NaN") as told:
        train(request(path, image_folder, tmp_path / "runs", "natural"), Recorder())
    assert told.value.options == "--set optimizer.gradient_clip=1"
    path.write_text(SILENT_WHEN_ASKED.replace("LEAST", "0.5"))
    recorder = Recorder()
    train(request(path, image_folder, tmp_path / "runs", "natural"), recorder)
    (warned,) = [text for text in recorder.warned if "NaN" in text]
    assert "validation images are NaN or infinite; they count as wrong" in warned
