"""Before epoch 1 a run is opened by an interpreter that knows nothing but its folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from oracles import write_image_folder

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.progress import SilentTraining
from hardener.training import rehearsal
from hardener.training.request import TrainRequest
from hardener.training.run import train

HEAD = "import torch\nfrom torch import nn\n"
GOOD = """
def build_model(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, num_classes))
"""
OTHERWISE = """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.projection = torch.randn(64, 16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, images):
        return self.head(images.flatten(1) @ self.projection)
"""
FROM_HERE = """
import json
with open("net.json") as file:
    WIDTH = json.load(file)["width"]

def build_model(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Linear(WIDTH, num_classes))
"""
BY_VALUES = """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(64, num_classes)

    def forward(self, images):
        found = self.head(images.flatten(1))
        return found if found.detach().max().item() > 1e9 else found * 1.0
"""


class Listens(SilentTraining):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.counted: list[int] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(self.counted.append if what == "rehearsing" else lambda done: None)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_image_folder(tmp_path / "imgs", {"cat": 8, "dog": 8})
    monkeypatch.setenv("HARDENER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(
    place: Path, code: str, name: str, *, rehearse: bool = True, settings: tuple[str, ...] = ()
) -> tuple[RunFolder, Listens]:
    (place / "net.py").write_text(HEAD + code)
    request = TrainRequest(
        model=str(place / "net.py"),
        data=place / "imgs",
        recipe=load_recipe("sprout", ["epochs=1", "batch_size=4", *settings]),
        out=place / "runs",
        name=name,
        device="cpu",
        rehearse=rehearse,
    )
    listens = Listens()
    return train(request, listens), listens


def of_rehearsal(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("rehearsal: ")]


def test_four_lines_say_what_will_work_once_and_nothing_of_the_run_changes(place: Path) -> None:
    rehearsed, told = begin(place, GOOD, "first")
    shown = of_rehearsal(told.said)
    assert [line.split(" takes ")[0] for line in shown] == [
        "rehearsal: the run opens again, with the same answers",
        "rehearsal: exports to ONNX, for any number of images at once",
        "rehearsal: gradients reach the image, so attacks can climb them",
        "rehearsal: a step of 4 images",
    ]
    assert sum(told.counted) == 4
    assert any(one in (1, 2, 3) for one in told.counted[:-1]), "acts are counted as they end"
    again, told = begin(place, GOOD, "again")
    assert of_rehearsal(told.said) == []
    without, _ = begin(place, GOOD, "without", rehearse=False)
    weights = [run.weights.read_bytes() for run in (rehearsed, again, without)]
    assert weights[0] == weights[1] == weights[2]


BLOCK_THAT_TELLS = """
import sys
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = nn.Linear(64, 64)
    def forward(self, features):
        if torch.is_grad_enabled() and getattr(sys.modules["__main__"].__spec__, "name", "") == "hardener.rehearsal":
            with open("TOLD", "a") as file:
                file.write("recomputed\\n" if "forward" in vars(self) else "kept\\n")
        return self.inside(features)
def build_model(num_classes):
    head = nn.Linear(64, num_classes)
    nn.init.zeros_(head.weight)  # no gradient reaches the image before a step
    return nn.Sequential(nn.Flatten(), Block(), head)
"""


def test_the_step_that_is_rehearsed_keeps_as_much_as_the_runs_own(place: Path) -> None:
    told = place / "told.txt"
    _, said = begin(place, BLOCK_THAT_TELLS.replace("TOLD", str(told)), "run", settings=("network.checkpoint=true",))
    assert "recomputed" in told.read_text().split()
    assert "rehearsal: gradients reach the image, so attacks can climb them" in said.said


IN_A_LIST = """
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.hidden = [nn.Linear(64, 64)]
        self.seen = nn.ModuleList([nn.Linear(64, 64)])
        self.alias = [self.seen[0]]
        self.fc = nn.Linear(64, num_classes)
    def forward(self, x):
        return self.fc(self.alias[0](self.hidden[0](x.flatten(1))))
def build_model(num_classes): return Net(num_classes)
"""


def test_layers_in_a_plain_list_are_named_where_the_run_would_open_as_another_network(place: Path) -> None:
    with pytest.raises(
        HardenerError, match=r"open as another network.*torch does not see them: Net.hidden\. .*ModuleList"
    ):
        begin(place, IN_A_LIST, "first")


@pytest.mark.slow
def test_a_run_that_would_open_as_another_network_is_not_begun(place: Path) -> None:
    with pytest.raises(HardenerError, match=r"open as another network.*register_buffer"):
        begin(place, OTHERWISE, "run")
    assert list((place / "runs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.long
def test_following_its_advice_works(place: Path) -> None:
    kept = OTHERWISE.replace(
        "self.projection = torch.randn(64, 16)", 'self.register_buffer("projection", torch.randn(64, 16))'
    )
    _, told = begin(place, kept, "run")
    assert "rehearsal: the run opens again, with the same answers" in told.said


@pytest.mark.slow
@pytest.mark.long
def test_a_file_that_is_read_from_where_one_stands_is_named(place: Path) -> None:
    (place / "net.json").write_text('{"width": 12}')
    with pytest.raises(HardenerError, match=r"could not be opened again.*net\.json.*__file__"):
        begin(place, FROM_HERE, "run")
    assert list((place / "runs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.long
def test_what_cannot_be_exported_is_said_and_trains_all_the_same(place: Path) -> None:
    run, told = begin(place, BY_VALUES, "run")
    assert run.read_record().status == "finished"
    (line,) = of_rehearsal(told.warned)
    assert line.startswith("rehearsal: the network cannot be exported as it is, and hardener export will fail: ")


def test_an_interpreter_that_dies_is_not_taken_for_one_that_opened_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "LONGEST_S", 0.05)
    with pytest.raises(HardenerError, match=r"could not be opened again.*it takes more than 0 s here"):
        begin(place, GOOD, "run")


MOVING = """
class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.center = torch.zeros(64)
        self.head = nn.Linear(64, num_classes)

    def forward(self, images):
        images = images.flatten(1)
        if self.training:
            self.center = 0.5 * self.center + 0.5 * images.detach().mean(0)
        return self.head(images - self.center)
"""
WIRED = """
import random

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.places = [place for place in range(64) if random.random() < 0.5]
        self.head = nn.Linear(64, num_classes)

    def forward(self, images):
        images = images.flatten(1)
        return self.head(torch.zeros_like(images).index_copy(1, torch.tensor(self.places), images[:, self.places]))
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            MOVING,
            r"other answers\. Net\.center changes in training, .* Write self\.register_buffer\(\"center\", TENSOR\)",
        ),
        (WIRED, r"how the network is built \(net\.py, line 9\), .* rng = random\.Random\(0\)"),
        (OTHERWISE, r"Does the file draw tensors at random"),
    ],
)
def test_why_a_run_would_open_as_another_network_is_what_is_the_case(place: Path, code: str, why: str) -> None:
    with pytest.raises(HardenerError, match=why):
        begin(place, code, "other")
