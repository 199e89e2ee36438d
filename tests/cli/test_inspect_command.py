"""`hardener inspect`: what it says of a network is what the network is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.network_record import NetworkRecord

NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.first = nn.BatchNorm2d(1)
        self.conv, self.drop = nn.Conv2d(1, 2, 3, padding=1), nn.Dropout(0.3)
        self.fc = nn.Linear(2 * 28 * 28, num_classes)

    def forward(self, x):
        x = self.drop(self.conv(self.first(x)))
        x = x.view(x.size(0), -1)
        return x, self.fc(x)
"""


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def inspected(*words: object) -> NetworkRecord:
    found = hardener("inspect", *words, "--device", "cpu", "--json", "-")
    assert found.exit_code == 0, found.output
    return NetworkRecord.model_validate_json(found.stdout)


def test_it_says_what_a_network_is(tmp_path: Path) -> None:
    model = tmp_path / "net.py"
    model.write_text(NETWORK)
    found = inspected(model)
    assert (found.channels, found.height, found.width, found.sizes) == (1, 28, 28, [28])
    assert (found.outputs, found.head, found.layout) == (10, ["fc"], "contiguous")
    assert found.parameters == found.learning == 2 + 2 * 9 + 2 + (2 * 28 * 28 + 1) * 10
    assert found.flops == 2 * 28 * 28 * (9 * 2 + 2 * 10)  # a convolution of 9 weights into 2 maps, and the linear layer
    assert found.normalisation == ["first (BatchNorm2d at the input)"]
    assert (found.batch_norms, found.random) == (1, ["drop (Dropout)"])
    assert found.output == "several tensors, of which output 2 holds the logits"
    assert (found.trains, found.exports) == ("", "")
    assert found.batch_bytes is not None
    assert found.batch_bytes > 3 * 4 * found.parameters
    assert found.speed.training_s is None
    assert any("uses .view" in remark for remark in found.remarks)


def test_data_tells_classes_size_and_time(tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12, "cow": 12})
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    found = inspected(tmp_path / "tiny.py", "--data", data)
    assert (found.outputs, found.height, found.width, found.channels) == (3, 8, 8, 1)
    speed = found.speed
    assert speed.training_s is not None
    assert speed.training_images_per_s is not None
    assert speed.training_s == pytest.approx(30 * 30 / speed.training_images_per_s, rel=0.1)
    shown = hardener("inspect", tmp_path / "tiny.py", "--data", data, "--device", "cpu")
    assert "brought to 8 x 8 → logits and probabilities of 3 classes" in shown.stdout.replace("\n", " ")


def test_features_are_shown_with_the_layer_that_training_puts_behind_them(tmp_path: Path) -> None:
    model = tmp_path / "net.py"
    model.write_text(NETWORK.replace("return x, self.fc(x)", "return x[:, :112 * 14].unflatten(1, (8, 14, 14))"))
    found = inspected(model, "--classes", 3, "--image-size", 28)
    assert (found.outputs, found.trains, found.exports) == (3, "", "")
    assert any("8 maps of 14 x 14: train with --replace-head" in remark for remark in found.remarks)


def test_its_images_are_read_as_it_is_asked_for(tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"pets/cat": 12, "pets/dog": 12, "farm/cow": 12, "notes": 3})
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    words = (tmp_path / "tiny.py", "--data", data, "--class-depth", "2", "--ignore", "notes")
    assert inspected(*words).outputs == 3


def test_what_will_not_work_is_part_of_the_answer(tmp_path: Path) -> None:
    model = tmp_path / "net.py"
    frozen = "from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).requires_grad_(False)\n"
    model.write_text(frozen)
    found = inspected(model, "--image-size", "2")
    assert found.trains.startswith("no parameter of the model learns")
    assert (found.learning, found.speed.training_images_per_s, found.exports) == (0, None, "")
    wrong = hardener("inspect", model, "--image-size", "3")
    assert wrong.exit_code == 2
    assert "the model fails on images of 3 x 3 x 3" in wrong.stderr
    nothing = hardener("inspect", tmp_path / "other.py")
    assert nothing.exit_code == 2
    assert "no model file" in nothing.stderr


def test_its_json_is_alone_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    found = hardener("inspect", tmp_path / "tiny.py", "--device", "cpu", "--json", "-")
    assert json.loads(found.stdout)["schema"] == "hardener/network/1"


def test_data_may_be_named_as_train_takes_them(tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 4, "dog": 4})
    for words in ((data,), ("--data", data)):
        found = json.loads(hardener("inspect", *words, "--json", "-").stdout)
        assert (found["schema"], found["root"]) == ("hardener/data-inspection/1", str(data))


def test_options_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 4, "dog": 4})
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    for words, message in (
        ((tmp_path / "tiny.py", "--html", "x.html"), "--html is for a data set"),
        ((data, "--init", "x"), "--init is for a model"),
        (("--data", data, "--init", "x"), "--init is for a model"),
        ((), "hardener inspect DIR, or hardener inspect MODEL"),
    ):
        found = hardener("inspect", *words)
        assert found.exit_code == 2
        assert message in found.stderr
