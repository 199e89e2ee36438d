"""Training by several processes, as torchrun starts them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from in_processes import DRAWN, EQUAL, Stops, drawn, request
from oracles import write_image_folder
from torch import Tensor, nn

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.data.data_set import read_data_set
from hardener.data.loader import ImageShape, load_images
from hardener.errors import Failure, HardenerError, Interrupted
from hardener.models.trained import open_classifier
from hardener.progress import SilentTraining
from hardener.runtime import processes
from hardener.training import launch
from hardener.training.build import build_method
from hardener.training.loop import Minibatch, StepRule, train_epoch
from hardener.training.parallel import Exchange, blocks
from hardener.training.prepare import check_enough
from hardener.training.run import resume, train
from hardener.training.state import Progress, TrainingState
from hardener.training.training_loss import TrainingLoss

MODELS = {
    "plain": """
from torch import nn

def build_model(num_classes, in_channels=1):
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 3, padding=1), nn.ReLU(), nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, num_classes),
    )
""",
    "unused": """
from torch import nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Linear(64, num_classes)
        self.auxiliary = nn.Linear(64, num_classes)

    def forward(self, images):
        return self.body(images.flatten(1)), self.auxiliary(images.flatten(1))

def build_model(num_classes, in_channels=1):
    return Network(num_classes)
""",
    # kills its process in a training step, the first time that torchrun starts it
    "falls": """
import os
import signal
from torch import nn

class Falls(nn.Sequential):
    steps = 0

    def forward(self, images):
        self.steps += self.training
        if os.environ.get("FALLS") == f"process {os.environ.get('RANK')}, step {self.steps}":
            if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images)

def build_model(num_classes, in_channels=1):
    return Falls(
        nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(24, num_classes),
    )
""",
}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def in_two(*words: str | Path, falls: str = "", max_restarts: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, "--max-restarts", str(max_restarts), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"FALLS": falls},
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, images (35 to train on, so that two processes share a last minibatch of five) and a folder for runs."""
    root = tmp_path_factory.mktemp("ranks")
    write_image_folder(root / "imgs", {"cat": 22, "dog": 21})
    for name, text in MODELS.items():
        (root / f"{name}.py").write_text(text)
    return root


@pytest.fixture(scope="module")
def two(place: Path) -> Path:
    """What two processes made of all cases, in one launch."""
    (place / "two").mkdir()
    found = in_two(Path(__file__).with_name("in_processes.py"), place, place / "imgs", place / "two")
    assert found.returncode == 0, found.stderr
    return place / "two"


def checkpoint(run: RunFolder) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run.checkpoint, weights_only=True)
    return content


def rows(run: RunFolder, *names: str) -> list[list[float]]:
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return [[line[name] for name in names] for line in lines]


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in value.values() for tensor in tensors(part)] if isinstance(value, dict) else []


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_find_what_one_finds_with_the_doubled_batch(name: str, two: Path, place: Path) -> None:
    one = train(request(place, place / "imgs", place / "one", name, batch_size=10), SilentTraining())
    both = RunFolder(two / name)
    assert (one.read_record().processes, both.read_record().processes) == (1, 2)
    torch.testing.assert_close(
        rows(both, "loss", "target_mass"), rows(one, "loss", "target_mass"), rtol=1e-5, atol=1e-6
    )
    assert rows(both, "clean_accuracy") == rows(one, "clean_accuracy")
    ours, theirs = checkpoint(one), checkpoint(both)
    assert (ours["epoch"], ours["rows"]) == (theirs["epoch"], theirs["rows"]) == (3, 3)
    for part in ("network", "method", "theta"):
        torch.testing.assert_close(tensors(theirs[part]), tensors(ours[part]), rtol=1e-4, atol=1e-5)
    # the kept weights open as those of any run
    best = [open_classifier(run, run.read_record()).network.state_dict() for run in (one, both)]
    torch.testing.assert_close(best[1], best[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", DRAWN)
def test_a_stop_is_agreed_on_and_the_resumed_run_equals_the_straight_one_bit_for_bit(case: str, two: Path) -> None:
    assert (two / f"{case}-stopped-0.txt").read_text() == (
        f"Interrupted 130: in epoch 1 of 3; nothing is lost. Go on with: hardener train --resume {two}/{case}-stopped"
    )
    assert (two / f"{case}-stopped-1.txt").read_text().startswith("Told 130")
    straight, resumed = checkpoint(RunFolder(two / case)), checkpoint(RunFolder(two / f"{case}-stopped"))
    assert straight.keys() == resumed.keys()
    pairs = list(zip(tensors(straight), tensors(resumed), strict=True))
    assert len(pairs) > 10
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


@pytest.mark.slow
def test_what_fails_on_one_process_is_said_once_and_ends_all(two: Path) -> None:
    assert "the loss became" in (two / "diverged-0.txt").read_text()
    assert (two / "diverged-1.txt").read_text().startswith("Told 1:")
    assert not (two / "diverged").exists()
    missing = (two / "missing-0.txt").read_text()
    assert missing.startswith("HardenerError 2: process 1 on ")
    assert missing.endswith(f"no such folder: {two.parent}/imgs/not-on-this-machine.")
    assert (two / "missing-1.txt").read_text().startswith("Told 2:")


SMALL = ["epochs=3", "batch_size=5", "validation.samples=5", "validation.steps=2", "averaging.decay=0.9"]


def command(place: Path, *more: str) -> list[str]:
    sets = [word for setting in SMALL for word in ("--set", setting)]
    words = ["-m", "hardener", "train", str(place / "falls.py"), "--data", str(place / "imgs"), "--device", "cpu"]
    return [*words, *sets, *more]


@pytest.mark.slow
@pytest.mark.long
def test_a_process_that_dies_is_missed_torchrun_starts_all_again_and_the_run_goes_on(two: Path, place: Path) -> None:
    """In the second epoch; the first process falls, and the run has no name of the user's."""
    runs = place / "elastic"
    found = in_two(*command(place, "--out", str(runs)), falls="process 0, step 10", max_restarts=1)
    assert found.returncode == 0, found.stderr
    (path,) = runs.iterdir()
    missed = (
        "error: process 1 of 2 can no longer reach the others: one of them ended or hangs; its own message, or "
        "torchrun's, says more. The run can go on from epoch 2, image 0: start torchrun as before, now with: hardener "
        f"train --resume {path}"
    )
    assert missed in found.stderr or "stopped: " in found.stderr  # torchrun's own signal may come first
    assert "which this launch began" in found.stderr
    straight, resumed = checkpoint(RunFolder(two / "averaged")), checkpoint(RunFolder(path))
    assert all(torch.equal(*pair) for pair in zip(tensors(straight), tensors(resumed), strict=True))
    assert f"next: hardener eval {path}" in found.stdout
    assert found.stdout.count("kept epoch") == 1


def test_a_launch_goes_on_with_its_own_run_and_no_other(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = drawn(place, place / "imgs", tmp_path, "mine", "averaged")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-1")
    with pytest.raises(Interrupted):
        train(asked, Stops(12))
    found = launch.begun_by_this_launch
    assert found(asked) == str(tmp_path / "mine")
    assert found(replace(asked, name=None)) == str(tmp_path / "mine")
    others = [replace(asked, name="other"), replace(asked, seed=1), replace(asked, model="other.py")]
    others += [replace(asked, data=tmp_path), replace(asked, recipe=load_recipe("natural"))]
    assert [found(other) for other in others] == [None] * 5
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-2")
    with pytest.raises(HardenerError, match="mine exists. Choose another --name"):
        train(asked, SilentTraining())
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-1")
    (tmp_path / "alien").mkdir()
    (tmp_path / "alien" / "run.json").write_text("{}")  # of another version, and in nobody's way
    finished = train(asked, SilentTraining())
    assert finished.read_record().status == "finished"
    # a process that falls after the end has torchrun start all again: nothing is left to do
    assert found(asked) is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    before = finished.weights.stat().st_mtime_ns
    assert train(asked, SilentTraining()).path == finished.path
    assert finished.weights.stat().st_mtime_ns == before
    finished.checkpoint.unlink()  # as if it had fallen before there was anything to go on from
    assert found(asked) is None
    assert not finished.path.exists()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launch.launch_name() == f"{socket.gethostname()}:{os.getppid()}"


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_have_begun(two: Path) -> None:
    said: list[str] = []

    class Recorder(SilentTraining):
        def say(self, text: str) -> None:
            said.append(text)

    run = resume(RunFolder(two / "left"), Recorder(), device="cpu")
    assert said == ["2 → 1 processes: the run goes on at the same image, with other minibatches"]
    record = run.read_record()
    assert (record.status, record.epochs_done, record.processes) == ("finished", 3, 1)


def test_blocks_are_the_outermost_members_of_containers_that_hold_a_hundredth() -> None:
    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 30))

    stages = nn.ModuleList([Stage(), Stage()])
    small = nn.Linear(4, 4)
    nested = nn.Sequential(nn.Sequential(nn.Linear(30, 30), small))
    network = nn.ModuleDict({"stages": stages, "nested": nested, "alone": nn.Linear(30, 30)})
    assert blocks(network) == [stages[0], stages[1], nested[0][0]]  # type: ignore[index]


def test_fsdp_goes_with_nothing_that_moves_or_keeps_whole_weights() -> None:
    with pytest.raises(HardenerError, match="averaging keeps whole weights: it does not go with parallel=fsdp"):
        load_recipe("natural", ["parallel=fsdp", "averaging.name=ema"])
    with pytest.raises(HardenerError, match="awp moves whole weights: it does not go with parallel=fsdp"):
        load_recipe("natural", ["parallel=fsdp", "awp.gamma=0.01"])


def test_too_few_images_for_the_processes_are_an_error(
    image_folder: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = read_data_set(image_folder, validation_root=None, seed=0, val_fraction=0.1, test_fraction=0.1)
    images = load_images(folder.train, ImageShape(8, 8, 1))
    monkeypatch.setenv("WORLD_SIZE", "16")
    with pytest.raises(HardenerError, match="20 training images are too few for 16 processes: each needs two"):
        check_enough(images, folder.classes)


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "choose_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1", "RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    assert launch.own_device("cuda") == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]
    assert launch.own_device("cpu") == torch.device("cpu")
    with pytest.raises(HardenerError, match="--device cuda:0 is one GPU, and 2 processes would share it"):
        launch.own_device("cuda:0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(HardenerError, match="3 processes, and 2 GPUs on .*--nproc-per-node 2"):
        launch.own_device("cuda")


def test_processes_that_do_not_find_each_other_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "TIMEOUT", timedelta(seconds=0.1))
    with pytest.raises(Failure, match="process 1 of 2 does not find the others: .*Is it started by torchrun"):
        processes.meet()
    monkeypatch.delenv("MASTER_ADDR")
    with pytest.raises(Failure, match="MASTER_ADDR expected, but not set Is it started by torchrun"):
        processes.meet()


def test_of_several_processes_none_cuts_its_minibatch_smaller_than_the_others() -> None:
    class Full(Exchange):
        world = 2

        def piece(self, *, last: bool) -> Any:
            raise torch.OutOfMemoryError

    network, method = nn.Flatten(), build_method(load_recipe("natural"), 2)
    theta = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    state = TrainingState(network, method, theta, None, None, Progress.start_of(0, torch.device("cpu")), piece=8)
    rule = StepRule(theta_steps=1, beta_on_clean=False, gradient_clip=None, autocast=False)
    batch = Minibatch(torch.zeros(8, 1, 1, 2), torch.zeros(8, dtype=torch.int64), 16, torch.arange(8))
    with pytest.raises(
        Failure, match="8 images at once do not fit in the memory of cpu. Cut each minibatch with --set "
    ):
        train_epoch(
            Full(TrainingLoss(network, method)),
            [batch],
            state,
            rule,
            before_step=lambda: None,
            on_step=lambda _: True,
        )
