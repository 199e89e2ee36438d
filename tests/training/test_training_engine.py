"""What the engine does besides plain steps: averages, pieces, compile, roll-back, and a machine that dies."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import write_levels
from test_run import SMALL, Recorder, request, rows, weights

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import BestRecord, RunFolder, RunRecord
from hardener.errors import Failure, HardenerError, Interrupted
from hardener.statistics.interval import clopper_pearson
from hardener.training.checkpoint import before
from hardener.training.collapse import collapsed
from hardener.training.run import resume, train
from hardener.training.validation import Measured, Validator

STILL = ("augment.shift=0", "optimizer.warmup_epochs=0", "optimizer.schedule=constant")
PLAIN = "from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 2))\n"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A network without batch norm or dropout."""
    path = tmp_path / "plain.py"
    path.write_text(PLAIN)
    return path


def last(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(run.checkpoint, weights_only=True)
    return found


def place(checkpoint: Path) -> tuple[int, int]:
    """Epoch and images of it that a checkpoint was made at."""
    content = torch.load(checkpoint, weights_only=True)
    return content["epoch"], content["images"]


def test_swa_keeps_the_mean_of_the_weights_at_the_ends_of_epochs(
    plain: Path, image_folder: Path, tmp_path: Path
) -> None:
    ends = []
    for epochs in (1, 2, 3):
        wanted = request(plain, image_folder, tmp_path / str(epochs), "natural", (*STILL, f"epochs={epochs}"))
        ends.append(last(train(wanted, Recorder()))["network"])
    sets = (*STILL, "averaging.name=swa", "averaging.start=0")
    run = train(request(plain, image_folder, tmp_path / "swa", "natural", sets), Recorder())
    for name, found in last(run)["average"].items():
        if name.startswith("module.network."):
            expected = torch.stack([end[name.removeprefix("module.network.")] for end in ends]).mean(0)
            assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("decay", [1e-6, 0.3, 1 - 1e-7])
def test_ema_decays_as_asked_once_it_has_seen_enough_steps(
    decay: float, plain: Path, image_folder: Path, tmp_path: Path
) -> None:
    """One step an epoch: after n of them it decays by (1 + n) / (10 + n) at most, however long its memory is."""
    sets = (*STILL, f"averaging.decay={decay}", "batch_size=20")
    steps = []
    for epochs in (1, 2, 3):
        wanted = request(plain, image_folder, tmp_path / str(epochs), "natural", (*sets, f"epochs={epochs}"))
        run = train(wanted, Recorder())
        steps.append(last(run)["network"])
    average = last(run)["average"]
    for name, first in steps[0].items():
        expected = first
        for done, step in enumerate(steps[1:], 1):
            kept = min(decay, (1 + done) / (10 + done))
            expected = kept * expected + (1 - kept) * step[name]
        assert torch.allclose(average[f"module.network.{name}"], expected, atol=1e-4)
    assert not torch.allclose(steps[2]["1.weight"], steps[0]["1.weight"], atol=1e-4)


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_a_short_run_is_not_judged_by_the_weights_that_its_average_began_with(
    name: str, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    """Twelve steps, where `ema` remembers a thousand, and three epochs, of which `swa` takes the last by itself."""
    write_levels(image_folder)
    sets = (f"averaging.name={name}", "optimizer.lr=0.05", "data.normalize=none")
    run = train(request(model_file, image_folder, tmp_path / "runs", "natural", sets), Recorder())
    best = run.read_record().best
    assert best is not None
    assert (best.epoch, best.clean_accuracy) == (3, 1.0)
    assert int(last(run)["average"]["n_averaged"]) == (12 if name == "ema" else 1)


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_averages_resume_bit_for_bit_and_are_what_is_kept(
    name: str, model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = (f"averaging.name={name}", "averaging.start=0.3", "averaging.decay=0.8")
    straight = train(request(model_file, image_folder, tmp_path / "a", "sprout", sets), Recorder())
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "b", "sprout", sets, name="r"), Recorder(35))
    resumed = resume(RunFolder(tmp_path / "b" / "r"), Recorder(), device="cpu")
    one, other = last(straight), last(resumed)
    for part in ("network", "average"):
        assert all(torch.equal(value, other[part][key]) for key, value in one[part].items())
    best = straight.read_record().best
    assert best is not None
    if best.epoch == 3:
        kept = weights(straight)
        assert all(torch.equal(value, one["average"][f"module.network.{key}"]) for key, value in kept.items())


def test_a_minibatch_in_pieces_gives_the_step_of_the_whole(plain: Path, image_folder: Path, tmp_path: Path) -> None:
    whole, pieces = (
        last(train(request(plain, image_folder, tmp_path / str(k), "natural", (*STILL, f"accumulate={k}")), Recorder()))
        for k in (1, 3)
    )
    assert all(torch.allclose(whole["network"][name], pieces["network"][name], atol=1e-6) for name in whole["network"])
    assert pieces["piece"] == 2


NARROW = """
import torch
from torch import nn

class Narrow(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))

    def forward(self, x):
        if self.training and len(x) > {limit}:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layers(x)

model = Narrow()
"""


def test_a_minibatch_that_fits_no_memory_is_cut(image_folder: Path, tmp_path: Path) -> None:
    """The device's error is raised by the network: a processor has none of its own."""
    model = tmp_path / "narrow.py"
    model.write_text(NARROW.format(limit=3))
    reporter = Recorder()
    sets = (*STILL, "batch_size=10")
    run = train(request(model, image_folder, tmp_path / "a", "natural", sets), reporter)
    assert reporter.warned == ["a minibatch does not fit in the memory of cpu: it is cut into pieces of 3"]
    model.write_text(NARROW.format(limit=1000))
    whole = train(request(model, image_folder, tmp_path / "b", "natural", sets), Recorder())
    assert all(torch.allclose(value, weights(run)[name], atol=1e-6) for name, value in weights(whole).items())
    model.write_text(NARROW.format(limit=0))
    with pytest.raises(Failure, match="3 images at once do not fit in the memory of cpu. Lower --batch-size"):
        train(request(model, image_folder, tmp_path / "c", "natural", sets), Recorder())


@pytest.mark.parametrize(
    ("robust", "best", "samples", "expected"),
    [
        (0.0, 0.3, 256, True),
        (0.1, 0.3, 256, True),
        (0.2, 0.3, 256, False),  # not halved
        (0.0, 0.3, 10, False),  # ten images prove nothing
        (0.3, 0.3, 256, False),
        (0.0, 0.0, 256, False),
        (0.0, 0.1, 256, False),  # of ten classes: guessing
    ],
)
def test_a_collapse_is_more_than_a_half_and_more_than_chance(
    robust: float, best: float, samples: int, expected: bool
) -> None:
    assert collapsed(robust, best, samples, num_classes=10) is expected
    apart = clopper_pearson(round(robust * samples), samples)[1] < clopper_pearson(round(best * samples), samples)[0]
    assert expected == (apart and robust < best / 2 and best > 0.1)


def measured(robust: float, clean: float = 0.9) -> Measured:
    return Measured(clean=clean, robust=robust, by_class=(clean, clean), balanced=None, balanced_robust=None)


def script_validation(monkeypatch: pytest.MonkeyPatch, robust: list[float]) -> None:
    """Let validation find these robust accuracies, one an epoch: a real collapse takes minutes of training."""
    left = iter(robust)
    monkeypatch.setattr(Validator, "measure", lambda self, judged, epoch: measured(next(left)))
    monkeypatch.setattr(
        "hardener.training.collapse.collapsed", lambda robust, best, samples, num_classes: robust < best / 2
    )


def test_training_that_collapses_goes_back_and_takes_another_gradient_step(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_validation(monkeypatch, [0.3, 0.5, 0.0, 0.1, 0.6])
    reporter = Recorder()
    run = train(request(model_file, image_folder, tmp_path / "runs", "fast-at"), reporter)
    assert reporter.warned == [
        "quick robust accuracy fell from 50.0 to 0.0 % in epoch 3: catastrophic overfitting. Back to the end of epoch "
        "2, from here with 2 gradient steps",
        "quick robust accuracy fell from 50.0 to 10.0 % in epoch 3: catastrophic overfitting. Back to the end of epoch "
        "2, from here with 3 gradient steps",
    ]
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [(row["epoch"], row["rolled_back"]) for row in rows] == [
        (1, False),
        (2, False),
        (3, True),
        (3, True),
        (3, False),
    ]
    content = last(run)
    assert (content["attack_steps"], content["rollbacks"], content["epoch"]) == (3, 2, 3)
    best = run.read_record().best
    assert best is not None
    assert (best.epoch, best.robust_accuracy) == (3, 0.6)


def test_the_weights_of_a_collapsed_epoch_are_not_kept_where_nothing_is_rolled_back(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_validation(monkeypatch, [0.1, 0.0, 0.2])
    monkeypatch.setattr(
        Validator, "measure", lambda self, judged, epoch: measured([0.3, 0.0, 0.2][epoch], [0.2, 0.9, 0.3][epoch])
    )
    reporter = Recorder()
    sets = ("validation.rollback=0",)
    run = train(request(model_file, image_folder, tmp_path / "runs", "fast-at", sets), reporter)
    assert reporter.warned == [
        "quick robust accuracy fell from 30.0 to 0.0 % in epoch 2: catastrophic overfitting. This epoch's weights are "
        "not kept"
    ]
    best = run.read_record().best
    assert best is not None
    assert best.epoch == 1  # (0.2 + 0.3) / 2, as in epoch 3; epoch 2 has a higher mean


def test_a_collapse_is_a_clear_error_where_the_state_to_go_back_to_is_damaged(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_validation(monkeypatch, [])
    good = RunFolder(tmp_path / "runs" / "r").good_checkpoint

    def measure(self: Validator, judged: object, epoch: int) -> Measured:
        if epoch == 2:
            good.write_bytes(good.read_bytes()[:500])
        return measured([0.3, 0.5, 0.0][epoch])

    monkeypatch.setattr(Validator, "measure", measure)
    with pytest.raises(HardenerError, match=r"cannot be taken back: .*good.pt is damaged: .*validation.rollback=0"):
        train(request(model_file, image_folder, tmp_path / "runs", "fast-at", name="r"), Recorder())
    best = RunFolder(tmp_path / "runs" / "r").read_record().best
    assert best is not None
    assert best.epoch == 2


def test_a_rolled_back_run_resumes_with_the_steps_it_had_come_to(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_validation(monkeypatch, [0.5, 0.0, 0.5, 0.5])
    straight = train(request(model_file, image_folder, tmp_path / "a", "fast-at"), Recorder())
    script_validation(monkeypatch, [0.5, 0.0, 0.5, 0.5])
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "b", "fast-at", name="r"), Recorder(45))
    resumed = resume(RunFolder(tmp_path / "b" / "r"), Recorder(), device="cpu")
    assert last(resumed)["attack_steps"] == 2
    assert all(torch.equal(value, last(resumed)["network"][key]) for key, value in last(straight)["network"].items())


def test_a_disk_that_is_full_leaves_a_run_to_go_on_with(
    model_file: Path,
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    straight: Callable[[str], RunFolder],
) -> None:
    """The error is the one of a full disk; a real one needs the rights to mount."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    reporter = Recorder()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("hardener.training.keeping.save_weights", full)
        train(request(model_file, image_folder, tmp_path / "b", name="r"), reporter)
    run = RunFolder(tmp_path / "b" / "r")
    assert reporter.warned == [f"what is done up to the last checkpoint is kept: hardener train --resume {run.path}"]
    resumed = resume(run, Recorder(), device="cpu")
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(straight("sprout")).items())


@pytest.mark.parametrize("older", [False, True])
def test_a_disk_that_fills_between_checkpoint_and_record_keeps_the_best_epoch(
    older: bool, plain: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first epoch is the best, and its record finds no room; an older checkpoint says nothing of it."""
    script_validation(monkeypatch, [0.5, 0.3, 0.2])
    write = RunFolder.write_record

    def full(run: RunFolder, record: RunRecord) -> None:
        if record.epochs_done == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(run, record)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(RunFolder, "write_record", full)
        train(request(plain, image_folder, tmp_path / "runs", "natural", name="r"), Recorder())
    run = RunFolder(tmp_path / "runs" / "r")
    assert run.read_record().best is None
    told = last(run)["best"]
    if older:
        torch.save({key: value for key, value in last(run).items() if key != "best"}, run.checkpoint)
        run.write_record(run.read_record().model_copy(update={"best": BestRecord.model_validate(told)}))
    best = resume(run, Recorder(), device="cpu").read_record().best
    assert best == BestRecord.model_validate(told)
    assert (best.epoch, best.robust_accuracy) == (1, 0.5)


def test_a_checkpoint_whose_best_epoch_is_none_counts_as_damaged(
    plain: Path, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        train(request(plain, image_folder, tmp_path / "runs", "natural", name="r"), Recorder(27))
    run, reporter = RunFolder(tmp_path / "runs" / "r"), Recorder()
    torch.save({**last(run), "best": {"epoch": "first"}}, run.checkpoint)
    resume(run, reporter, device="cpu")
    assert "the best epoch in it is {'epoch': 'first'}. Going on from the checkpoint before it." in reporter.warned[0]


# `hardener`, which saves after each step and kills itself: its first two arguments are after what, and how many of it
KILLED = """
import os
import signal
import sys
from hardener.__main__ import main
from hardener.training import keeping
from hardener.training.journal import Journal

def killing(done, counts=lambda *_: True):
    def work(*words):
        global left
        done(*words)
        left -= counts(*words)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    return work

what, left = sys.argv[1], int(sys.argv[2])
if what == "a checkpoint put aside":
    os.replace = killing(os.replace, lambda _, target: str(target).endswith("before.pt"))
elif what == "an epoch logged":
    Journal.write = killing(Journal.write)
keeping.SAVE_EVERY_S = 0.0
sys.argv[:3] = ["hardener"]
main()
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_run_that_is_killed_while_it_writes_ends_as_an_undisturbed_one(
    model_file: Path, image_folder: Path, tmp_path: Path, straight: Callable[[str], RunFolder]
) -> None:
    """Killed between the two renames of a checkpoint, in a step; then with an epoch logged and not yet kept."""
    recipe = "sprout-reference"
    sets = [word for setting in [*SMALL, "epochs=3"] for word in ("--set", setting)]
    asked = [str(model_file), "--data", str(image_folder), "--recipe", recipe, "--out", str(tmp_path / "runs"), *sets]

    def killed(what: str, count: int, *words: str) -> None:
        found = subprocess.run(
            [sys.executable, "-c", KILLED, what, str(count), "train", "--device", "cpu", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == -signal.SIGKILL, found.stderr

    run = RunFolder(tmp_path / "runs" / "killed")
    killed("a checkpoint put aside", 7, *asked, "--name", "killed")
    assert not run.checkpoint.exists()
    assert place(before(run.checkpoint)) == (1, 5)
    killed("an epoch logged", 1, "--resume", str(run.path))
    assert place(run.checkpoint) == (1, 20)
    assert [row["epoch"] for row in rows(run)] == [1, 2]
    resume(run, Recorder(), device="cpu")
    undisturbed = straight(recipe)
    for part in ("network", "method"):
        assert all(torch.equal(value, last(run)[part][key]) for key, value in last(undisturbed)[part].items())
    assert run.weights.read_bytes() == undisturbed.weights.read_bytes()
    assert rows(run) == rows(undisturbed)


def test_what_does_not_go_together_is_said_before_anything_starts() -> None:
    for sets, message in (
        (["method=trades"], "method trades needs vicinity.adversarial"),
        (["method=free-at", "vicinity.adversarial.eps=8/255", "accumulate=2"], "it takes no accumulate above 1"),
        (["awp.gamma=0.01", "parallel=fsdp"], "it does not go with parallel=fsdp"),
    ):
        with pytest.raises(HardenerError, match=message):
            load_recipe("natural", sets)


VIEWING = """
import threading
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, num_classes)
        self.lock = threading.Lock()

    def forward(self, x):
        x = self.conv(x)
        return self.fc(x.view(x.size(0), -1))
"""


def test_a_network_that_flattens_by_view_resumes_bit_for_bit(image_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "net.py"
    model.write_text(VIEWING)
    reporter = Recorder()
    straight = train(request(model, image_folder, tmp_path / "a"), reporter)
    assert "images go in as contiguous: net.py, line 13, uses .view" in reporter.said
    assert straight.read_record().input.layout == "contiguous"
    with pytest.raises(Interrupted):
        train(request(model, image_folder, tmp_path / "b", name="r"), Recorder(35))
    resumed = resume(RunFolder(tmp_path / "b" / "r"), Recorder(), device="cpu")
    assert all(torch.equal(value, last(resumed)["network"][key]) for key, value in last(straight)["network"].items())


def test_a_network_that_cannot_be_copied_is_trained_without_an_average(image_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "net.py"
    model.write_text(VIEWING)
    with pytest.raises(HardenerError, match="averaging needs a copy .* --set averaging=null"):
        train(request(model, image_folder, tmp_path / "a", "natural", ("averaging.name=ema",)), Recorder())
    train(request(model, image_folder, tmp_path / "b", "natural", ("averaging.name=ema", "averaging=null")), Recorder())
