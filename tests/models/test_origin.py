"""What a weights file says of its network, against what the weights are taken for."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import write_image_folder
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.run_folder import RunFolder
from hardener.models.build import Built, build_for, fit_head
from hardener.models.checkpoints.doubt import Doubt
from hardener.models.checkpoints.told import Told, tells_nothing, told_in
from hardener.models.checkpoints.weights import Loaded, Start, load_weights
from hardener.models.load import ModelChoice
from hardener.models.origin import normalization_of_origin, other_normalization, other_size, settle_origin

CLASSES, ORDER = ("cat", "dog", "eel"), ("eel", "cat", "dog")
ROWS = [1, 2, 0]  # of the file, for each of the data's classes
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.relu(self.body(x)).mean((2, 3)))SCALE
"""


def build(folder: Path, scale: str = "") -> Built:
    (folder / "net.py").write_text(NET.replace("SCALE", scale))
    return build_for(ModelChoice(str(folder / "net.py")), num_classes=3, channels=[3], height=8, width=8)


def settle(built: Built, path: Path, *, trains: bool = False) -> tuple[list[str], list[Doubt]]:
    built, _, began = fit_head(built, 3, replace=False, start=Start(path, trains=trains))
    return settle_origin(built, began, "net.py", path, CLASSES)


TELLING: dict[str, dict[str, Any]] = {
    "class_to_idx": {"class_to_idx": {"eel": 0, "cat": 1, "dog": 2}},
    "idx_to_class": {"idx_to_class": {2: "dog", 0: "eel", 1: "cat"}},
    "numbers as texts": {"config": {"id2label": {"0": "eel", "1": "cat", "2": "dog"}}},
    "list": {"classes": list(ORDER)},
    "array": {"class_names": np.array(ORDER)},
    "meta": {"meta": {"CLASSES": ORDER}},
    "arguments": {"args": argparse.Namespace(class_names=list(ORDER))},
    "other marks": {"classes": ["EEL", "Cat", "d_o g"]},
    "synonyms": {"id2label": {0: "eel, Anguilla", 1: "cat, tabby", 2: "dog"}},
}


@pytest.mark.parametrize("telling", TELLING)
def test_outputs_are_put_in_the_order_that_a_file_does_not_have(telling: str, tmp_path: Path) -> None:
    built = build(tmp_path)
    images = torch.rand(5, 3, 8, 8)
    before = built.network(images)
    torch.save({"state_dict": built.network.state_dict(), **TELLING[telling]}, tmp_path / "w.pth")
    remarks, doubts = settle(built, tmp_path / "w.pth")
    assert doubts == []
    assert "the rows of the final layer are put in the data's" in remarks[0]
    torch.testing.assert_close(built.network(images), before[:, ROWS])


def test_what_lies_beside_weights_tells_the_order_too(tmp_path: Path) -> None:
    images = torch.rand(5, 3, 8, 8)
    beside = {
        "config.json": {"id2label": dict(enumerate(ORDER))},
        "run.json": {"schema": "hardener/run/1", "classes": ORDER},
    }
    for name, text in beside.items():
        folder = tmp_path / name.removesuffix(".json")
        folder.mkdir()
        built = build(tmp_path)
        before = built.network(images)
        save_file(built.network.state_dict(), folder / "model.safetensors")
        (folder / name).write_text(json.dumps(text))
        settle(built, folder)
        torch.testing.assert_close(built.network(images), before[:, ROWS])
    built = build(tmp_path)
    before = built.network(images)
    save_file(built.network.state_dict(), tmp_path / "w.safetensors", metadata={"classes": json.dumps(ORDER)})
    settle(built, tmp_path / "w.safetensors")
    torch.testing.assert_close(built.network(images), before[:, ROWS])


@pytest.mark.parametrize("names", [["LABEL_0", "LABEL_1", "LABEL_2"], ["0", "1", "2"], [0, 1, 2], ["3", "5", "8"]])
def test_numbers_tell_no_classes(names: list[Any], tmp_path: Path) -> None:
    built = build(tmp_path)
    torch.save({"state_dict": built.network.state_dict(), "classes": names}, tmp_path / "w.pth")
    assert settle(built, tmp_path / "w.pth") == ([], [])


def test_numbers_that_are_not_in_order_tell_one() -> None:
    assert tells_nothing(["0", "1", "2"])
    assert not tells_nothing(["0", "10", "2"])


def test_an_order_that_no_layer_can_be_put_in_is_a_doubt_and_leaves_the_weights(tmp_path: Path) -> None:
    built = build(tmp_path, scale=" * torch.tensor([1.0, 2.0, 3.0])")
    torch.save({"state_dict": built.network.state_dict(), "classes": ORDER}, tmp_path / "w.pth")
    before = {name: value.clone() for name, value in built.network.state_dict().items()}
    remarks, (doubt,) = settle(built, tmp_path / "w.pth")
    assert (remarks, doubt.grave) == ([], True)
    assert "cannot be put in the data's: what follows the layer has an order of its own" in doubt.text
    assert all(torch.equal(value, before[name]) for name, value in built.network.state_dict().items())


def test_other_classes_are_a_doubt_and_another_number_of_them_is_none(tmp_path: Path) -> None:
    built = build(tmp_path)
    state = built.network.state_dict()
    torch.save({"state_dict": state, "classes": ["ant", "bee", "cat"]}, tmp_path / "w.pth")
    _, (doubt,) = settle(built, tmp_path / "w.pth")
    assert doubt.grave
    assert "was made for other classes (ant, bee, cat) than those of the data (cat, dog, eel)" in doubt.text
    torch.save({"state_dict": state, "classes": ["ant", "bee"]}, tmp_path / "w.pth")
    assert settle(built, tmp_path / "w.pth") == ([], [])


def test_words_and_codes_for_classes_cannot_be_compared(tmp_path: Path) -> None:
    built = build(tmp_path)
    codes = tuple(f"n0000000{number}" for number in range(3))  # as ImageNet's folders are called
    for theirs, ours in ((CLASSES, codes), (codes, CLASSES), (("0 - zero", "1 - one", "2 - two"), ("0", "1", "2"))):
        torch.save({"state_dict": built.network.state_dict(), "classes": theirs}, tmp_path / "w.pth")
        built, _, began = fit_head(built, 3, replace=False, start=Start(tmp_path / "w.pth"))
        _, (unknown,) = settle_origin(built, began, "net.py", tmp_path / "w.pth", ours)
        assert not unknown.grave
        assert "they are taken to stand in one order" in unknown.text


def test_a_fresh_layer_has_no_order(tmp_path: Path) -> None:
    built = build(tmp_path)
    body = {name: value for name, value in built.network.state_dict().items() if not name.startswith("fc.")}
    torch.save({"state_dict": body, "classes": ORDER}, tmp_path / "w.pth")
    built, _, began = fit_head(built, 3, replace=True, start=Start(tmp_path / "w.pth"))
    assert settle_origin(built, began, "net.py", tmp_path / "w.pth", CLASSES) == ([], [])


def test_a_head_of_another_purpose_is_a_doubt_and_makes_way_for_a_fresh_one(tmp_path: Path) -> None:
    network = nn.ModuleDict({"a": nn.Linear(2, 4), "b": nn.Linear(4, 4), "fc": nn.Linear(4, 3)})

    def load(holder: str, fresh_head: str = "") -> Loaded:
        state = network.state_dict()
        apart = {(holder if name.startswith("fc.") else "backbone.") + name: value for name, value in state.items()}
        torch.save(apart, tmp_path / "w.pth")
        return load_weights(network, tmp_path / "w.pth", heads=("fc",), fresh_head=fresh_head)

    (doubt,) = load("rotation_head.").doubts
    assert doubt.grave
    assert "has no backbone.fc: fc is taken from rotation_head.fc" in doubt.text
    found = load("rotation_head.", "fc")
    assert not found.doubts
    assert found.fresh == {"fc"}
    assert [doubt.grave for doubt in load("head.").doubts] == [False]


def test_weights_of_another_network_of_the_registry_are_a_doubt(tmp_path: Path) -> None:
    built = build(tmp_path)
    of = Loaded(told=told_in({"arch": "resnet34"}))
    _, (doubt,) = settle_origin(built, of, "torchvision:resnet18", tmp_path, CLASSES)
    assert doubt.grave
    assert "Pass torchvision:resnet34 as MODEL" in doubt.judged
    assert settle_origin(built, of, "torchvision:resnet34", tmp_path, CLASSES) == ([], [])
    assert settle_origin(built, of, "net.py", tmp_path, CLASSES) == ([], [])
    run = run_of(tmp_path / "run", model={"spec": "torchvision:resnet34"})
    of_run = load_weights(build(tmp_path).network, run)
    assert [one.grave for one in settle_origin(built, of_run, "torchvision:resnet18", run, CLASSES)[1]] == [True]
    own = Loaded(told=Told(architecture="mine"))
    assert settle_origin(built, own, "torchvision:resnet18", tmp_path, CLASSES) == ([], [])


def test_a_file_with_more_layers_of_the_models_own_kind_is_of_a_larger_network(tmp_path: Path) -> None:
    def stack(depth: int) -> nn.Sequential:
        layers = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) for _ in range(depth)]
        return nn.Sequential(nn.Sequential(*layers), nn.Linear(3, 2))

    def doubts(extra: dict[str, Tensor]) -> list[str]:
        torch.save({"state_dict": {**stack(2).state_dict(), **extra}}, tmp_path / "w.pth")
        return [doubt.text for doubt in load_weights(stack(2), tmp_path / "w.pth", heads=("1",)).doubts]

    torch.save({"state_dict": stack(4).state_dict()}, tmp_path / "w.pth")
    (doubt,) = load_weights(stack(2), tmp_path / "w.pth", heads=("1",)).doubts
    assert "holds 14 tensors like those of the model that it has no place for (0.2.0.weight, " in doubt.text
    assert doubt.grave
    assert doubts({}) == []
    assert doubts({f"{name}.weight": torch.ones(2, 3) for name in ("2", "3", "aux.0.conv", "projector.0")}) == []


def run_of(folder: Path, **record: Any) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(build(folder).network.state_dict(), folder / "model.safetensors")
    (folder / "run.json").write_text(json.dumps({"schema": "hardener/run/1", "classes": CLASSES, **record}))
    return folder


def test_a_run_tells_activation_normalisation_and_size(tmp_path: Path) -> None:
    images = {"mean": [0.5, 0.25, 0.5], "std": [0.2, 0.2, 0.2], "height": 16, "width": 16}
    run = run_of(tmp_path / "run", model={"activation": "gelu"}, input=images)
    built = build(tmp_path)
    built, _, began = fit_head(built, 3, replace=False, start=Start(run))
    _, (doubt,) = settle_origin(built, began, "net.py", run, CLASSES)
    assert doubt.grave
    assert f"hardener eval {run} --data DIR" in doubt.judged
    assert "--set network.activation=gelu" in doubt.trained
    assert settle_origin(built, began, "net.py", run, CLASSES, activation="gelu") == ([], [])
    assert normalization_of_origin(built, began.told) == "0.5,0.25,0.5/0.2,0.2,0.2"
    assert other_normalization(built, began.told, run, "0.5,0.25,0.5/0.20000,0.2,0.2") is None
    for asked in ("none", "imagenet", "data"):
        assert "Pass --normalize 0.5,0.25,0.5/0.2,0.2,0.2" in (other_normalization(built, began.told, run, asked) or "")
    assert "--image-size 16" in (other_size(began.told, 8, 8) or "")
    assert other_size(began.told, 16, 16) is None
    bare = replace(began.told, normalization="none")
    assert other_normalization(built, bare, run, "none") is None
    assert "Pass --normalize none" in (other_normalization(built, bare, run, "imagenet") or "")


def test_a_folder_of_hugging_face_tells_its_normalisation(tmp_path: Path) -> None:
    built = build(tmp_path)
    save_file(built.network.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    told = json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3})
    (tmp_path / "preprocessor_config.json").write_text(told)
    assert load_weights(built.network, tmp_path).told.normalization == "0.5,0.5,0.5/0.25,0.25,0.25"
    assert other_normalization(built, load_weights(built.network, tmp_path).told, tmp_path, "0.5/0.25") is None


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_eval_and_train_take_the_order_and_eval_refuses_other_classes(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.replace("SCALE", ""))
    for name in ("imgs", "others"):
        last = "eel" if name == "imgs" else "fox"
        write_image_folder(tmp_path / name, {"cat": 10, "dog": 10, last: 10}, color=True)
    quick = f"--epochs 1 --batch-size 8 --device cpu --set validation.steps=1 --out {tmp_path}".split()
    data = ["--data", tmp_path / "imgs"]
    made = hardener("train", tmp_path / "net.py", *data, *quick, "--name", "first", "--normalize", "0.4/0.3")
    assert made.exit_code == 0, made.output
    run = RunFolder(tmp_path / "first")
    again = hardener("train", tmp_path / "net.py", *data, *quick, "--name", "second", "--init", run.path)
    assert again.exit_code == 0, again.output
    assert "images are normalised by 0.4,0.4,0.4/0.3,0.3,0.3, as for" in again.stderr.replace("\n", " ")
    assert RunFolder(tmp_path / "second").read_record().input.mean == [0.4] * 3

    state = build(tmp_path).network.state_dict()
    clean = {}
    for name, told in (("own", CLASSES), ("moved", ORDER)):
        rows = [CLASSES.index(one) for one in told]
        moved = {key: value[rows] if key.startswith("fc.") else value for key, value in state.items()}
        torch.save({"state_dict": moved, "classes": told}, tmp_path / f"{name}.pth")
        words = ["--normalize", "none", "--attack", "fgsm", "--samples", "30", "--json", tmp_path / "e.json"]
        target = ["eval", tmp_path / "net.py", "--init", tmp_path / f"{name}.pth", *words]
        judged = hardener(*target, *data)
        assert judged.exit_code == 0, judged.output
        clean[name] = json.loads((tmp_path / "e.json").read_text())["clean_accuracy"]
        refused = hardener(*target, "--data", tmp_path / "others")
        assert refused.exit_code == 2
        assert "was made for other classes" in refused.stderr
    assert clean["moved"] == clean["own"]
