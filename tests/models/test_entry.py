"""The entry of a model file: what is tried leaves no trace, and what the user gives is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hardener.config.run_folder import ModelRecord
from hardener.errors import HardenerError
from hardener.models.build import build_for
from hardener.models.choosing.probing import Trial, Trials
from hardener.models.load import LoadedModel, ModelChoice, load_model

FILE = """
import random
import torch
from torch import nn

STARTED = [torch.rand(1).item(), random.random()]
built = []


class Small(nn.Module):
    def __init__(self, num_classes, width=4):
        super().__init__()
        built.append(width)
        self.number = len(built)
        self.fc = nn.Linear(3 * 8 * 8 + 0 * width, num_classes)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Part(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 1)

    def forward(self, x):
        return self.conv(x)
"""

NEEDY = FILE.replace("width=4", "width").replace("num_classes=3", "more")


def load(path: Path, **rest: object) -> LoadedModel:
    return load_model(ModelChoice(str(path), **rest), num_classes=5, size=(8, 8))  # type: ignore[arg-type]


def test_what_is_found_by_looking_is_built_as_if_it_had_been_named(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(FILE)
    torch.manual_seed(3)
    named = load(path, entry="Small")
    after = torch.rand(1)
    torch.manual_seed(3)
    found = load(path)
    assert torch.equal(torch.rand(1), after), "the random numbers that follow are the same"
    assert found.entry == "Small"
    assert int(found.network.number) == 1, "built once: what was tried is forgotten"  # type: ignore[arg-type]
    assert found.notes == ("entry: Small of net.py, found by looking; 965 parameters",)
    for one, other in zip(found.network.parameters(), named.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_arguments_are_given_and_wrong_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(FILE.replace("self.number = len(built)", "self.number = width"))
    assert load(path, entry="Small", arguments={"width": 9}).network.number == 9
    assert load(path, arguments={"width": 9}).network.number == 9, "what does not take it is no candidate"
    with pytest.raises(
        HardenerError, match=r"--model-arg widht: Small .* takes num_classes, width. Did you mean 'width'"
    ):
        load(path, entry="Small", arguments={"widht": 9})


def test_a_record_without_arguments_still_opens() -> None:
    old = {"spec": "net.py", "name": "net", "file": "model/net.py", "entry": None, "fingerprint": "f", "parameters": 1}
    rest = {"init": None, "pretrained": False, "replaced_head": None}
    assert ModelRecord.model_validate({**old, **rest}).arguments == {}


def test_what_a_builder_asks_of_its_keywords_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        f"{NEEDY}\ndef small(**kwargs):\n    wide = kwargs.pop('wide', 2) if 'wide' in kwargs else 1\n"
        "    return Small(num_classes=kwargs['num_classes'], width=kwargs['width'] * wide)\n"
    )
    with pytest.raises(HardenerError, match=r"(?s)small in .* needs width, .* --entry small --model-arg width=64"):
        load(path)
    assert load(path, entry="small", arguments={"width": 8}).network.number == 1


def test_a_builder_that_returns_nothing_is_given_what_it_chooses_by(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        f"{NEEDY}\ndef small(**kwargs):\n    count, data = map(kwargs.get, ['num_classes', 'data'])\n"
        "    if data == 'faces':\n        return Small(count, 8)\n    elif data == 'cars': return Small(count, 9)\n"
    )
    with pytest.raises(HardenerError, match=r"(?s)small in .* needs data, .* --entry small --model-arg data=faces"):
        load(path)


def test_what_fails_alike_is_said_once_with_its_condition(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\nclass Small(nn.Module):\n    def __init__(self, num_classes=2, size=4):\n"
        "        super().__init__()\n        half = size // 3\n        assert half > 1\n"
        "def small(num_classes=2): return Small(num_classes)\ndef large(num_classes=2): return Small(num_classes)\n"
    )
    with pytest.raises(HardenerError) as found:
        load(path)
    assert str(found.value).endswith(
        "\n  small, large, each: AssertionError: (no message) (net.py, line 6: assert half > 1, where half is 1)"
    )


@pytest.mark.parametrize("networks", [2, 3])
def test_what_there_was_no_time_to_try_is_named(networks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, runs = Trials.run, iter(range(networks - 1))

    def in_time(self: Trials, *words: Any, **rest: Any) -> Trial:
        if next(runs, None) is None:
            return Trial(False, error=TimeoutError("no time was left to try it"))
        return run(self, *words, **rest)

    monkeypatch.setattr(Trials, "run", in_time)
    path = tmp_path / "net.py"
    small = FILE.partition("class Small")[2].partition("class Part")[0]
    names = ["First", "Second", "Third"][:networks]
    path.write_text(FILE.partition("class Small")[0] + "".join(f"class {name}{small}" for name in names))
    if networks == 2:
        assert load(path).notes[1:] == ("net.py also holds Second, which there was no time to try: --entry Second",)
        return
    with pytest.raises(HardenerError, match=r"2 networks that fit.*(?s:.*)\n  not tried for want of time: Third"):
        load(path)


def test_other_rows_than_images_are_told_before_outputs(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        FILE.replace("x.flatten(1)", "x.view(-1, 96)").replace("3 * 8 * 8", "96").partition("class Part")[0]
    )
    with pytest.raises(
        HardenerError, match=r"answers 2 images with 4 rows .* 3 x 8 x 8 \(net.py, line 18\): .*flatten"
    ):
        build_for(ModelChoice(str(path)), num_classes=9, channels=[3], height=8, width=8)


def test_what_a_script_calls_comes_first_and_toys_last(tmp_path: Path) -> None:
    path = tmp_path / "nets.py"
    one = (
        FILE.partition("class Small")[2].partition("class Part")[0].replace("0 * width, num_classes", "0, num_classes")
    )
    big = one.replace("super().__init__()", "super().__init__()\n        self.more = nn.Linear(400, 400)")
    toy = one.replace("x.flatten(1)", "x.mean((2, 3))").replace("3 * 8 * 8 + 0", "3")
    path.write_text(f"{FILE.partition('class Small')[0]}class Toy{toy}class First{big}class Second{big}")
    (tmp_path / "run.py").write_text("from nets import Second as Net, Toy\nToy()\nnet = Net(3)\n")
    with pytest.raises(HardenerError, match=r"(?s)--entry Second .*--entry First .*--entry Toy "):
        load(path)


def test_other_words_that_its_code_knows_are_named_beside_the_one_that_is_printed(tmp_path: Path) -> None:
    (tmp_path / "vgg.py").write_text(
        "from torch import nn\n"
        "cfg = {'VGG7': 4, 'VGG11': 8, 'VGG13': 9}\n"
        "class VGG(nn.Module):\n"
        "    def __init__(self, vgg_name, num_classes=10):\n"
        "        super().__init__()\n"
        "        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(192, cfg[vgg_name]))\n"
        "        self.out = nn.Linear(cfg[vgg_name], num_classes)\n"
        "    def forward(self, x):\n"
        "        return self.out(self.fc(x))\n"
    )
    with pytest.raises(HardenerError) as caught:
        load_model(ModelChoice(str(tmp_path / "vgg.py")), num_classes=5, size=(8, 8))
    assert "Others for vgg_name: VGG11, VGG13. Pass what is right" in str(caught.value)


def test_what_a_word_only_begins_with_is_not_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "def make(kind, num_classes):\n"
        "    if kind.startswith('wide') or 'deep' in kind:\n"
        "        width = int(kind[4:])\n"
        "        return nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.Linear(width, num_classes))\n"
        "    raise ValueError(kind)\n"
    )
    (tmp_path / "run.py").write_text("from nets import make\nmake('wide16', 10)\nmake('wide8', 10)\n")
    with pytest.raises(HardenerError) as caught:
        load_model(ModelChoice(str(tmp_path / "nets.py")), num_classes=5, size=(8, 8))
    assert "--model-arg kind=wide16" in str(caught.value)
    assert "Others for kind: wide8. Pass" in str(caught.value)


def test_a_number_that_scripts_compute_is_named_with_its_default(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes, width, rate=32):\n"
        "        super().__init__()\n"
        "        self.pool = nn.AdaptiveAvgPool2d(max(1, 64 // rate))\n"
        "        self.fc = nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Linear(width, num_classes))\n"
        "    def forward(self, x):\n"
        "        return self.fc(self.pool(x))\n"
    )
    (tmp_path / "run.py").write_text("from nets import Net\ndef make(size):\n    return Net(10, 8, rate_of(size))\n")
    with pytest.raises(HardenerError, match="Scripts compute rate, 32 by default, by what .* --model-arg rate=. Pass"):
        load_model(ModelChoice(str(tmp_path / "nets.py")), num_classes=5, size=(8, 8))
