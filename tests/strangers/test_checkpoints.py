"""Checkpoints of all kinds: each gives the network the very weights that it was made of, or is refused with the way
out, which works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from checkpoints import TABLE, Checkpoint
from oracles import write_image_folder
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.models.checkpoints.weights import Loaded, Start, load_weights

CLASSES = 3
QUICK = "--epochs 1 --batch-size 8 --device cpu --set validation.steps=1 --set validation.samples=4"


class Net(nn.Module):
    """A small one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Conv2d(6, 6, 3)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        found: Tensor = self.fc(self.body(self.stem(images)).mean(dim=(2, 3)))
        return found


def fresh(seed: int) -> Net:
    torch.manual_seed(seed)
    made = Net()
    made.stem[1].running_mean.uniform_(0, 1)  # type: ignore[operator]
    return made


def load(network: nn.Module, path: Path, words: str = "") -> Loaded:
    given = words.split()
    which = given[given.index("--weights") + 1] if "--weights" in given else None
    start = Start(path, "--allow-pickle" in given, which)
    return load_weights(network, start, fresh_head="fc" if "--replace-head" in given else (), heads=("fc",))


@pytest.mark.parametrize("given", TABLE, ids=lambda given: given.name)
def test_a_checkpoint_is_loaded_whole_or_refused_with_the_way_out(given: Checkpoint, tmp_path: Path) -> None:
    source, target = fresh(1), fresh(2)
    path = given.make(source, tmp_path)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    what, _, options = given.expect.partition(" with ")
    if given.expect != "loads":
        with pytest.raises(HardenerError) as told:
            load(target, path)
        assert str(tmp_path) in str(told.value), "the file is named"
        assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
        if what != "loads":
            text = given.expect.removeprefix("refused: ")
            assert text in str(told.value)
            assert "--allow-pickle" not in str(told.value), "it would not help"
            return
        assert options.split()[0] in str(told.value)
    loaded = load(target, path, options)
    assert re.search(given.says, " ".join(loaded.remarks)), loaded.remarks
    assert given.says or not loaded.remarks
    replaced = ("fc.",) if "--replace-head" in options else ()
    own = source.state_dict()
    for name, value in target.state_dict().items():
        if name.startswith(replaced) and replaced:
            assert not torch.equal(value, before[name]), f"{name} begins anew, as torch makes such a layer"
            assert value.abs().max() <= target.fc.in_features**-0.5
        elif not name.endswith("num_batches_tracked"):
            assert torch.equal(value, own[name]), name


def test_the_table_is_long_and_its_names_are_different() -> None:
    assert len({given.name for given in TABLE}) == len(TABLE) >= 60


NORMALISING = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, 1, 1), 0.5))
        self.register_buffer("std", torch.full((1, 1, 1, 1), 0.25))
        self.body = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.body((x - self.mean) / self.std).mean((2, 3)))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, a network that normalises by itself, and its weights, plain and averaged."""
    folder = tmp_path_factory.mktemp("checkpoints")
    write_image_folder(folder / "imgs", {"cat": 8, "dog": 8})
    (folder / "net.py").write_text(NORMALISING)
    names: dict[str, type[nn.Module]] = {}
    exec(NORMALISING, names)
    plain, averaged = (names["Net"]().state_dict() for _ in range(2))
    torch.save({"model": plain, "model_ema": averaged, "epoch": 1}, folder / "both.pth")
    torch.save({"backbone." + n: v for n, v in plain.items() if not n.startswith("fc.")}, folder / "headless.pth")
    return folder


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def trained(home: Path, name: str, *words: str) -> Result:
    where = f"--data {home / 'imgs'} --out {home / 'runs'} --name {name}"
    return hardener("train", home / "net.py", *f"{QUICK} {where}".split(), *words)


def test_train_says_which_weights_it_takes_and_records_it(home: Path) -> None:
    found = trained(home, "plain", "--init", str(home / "both.pth"))
    assert found.exit_code == 0, found.output
    said = found.stderr.replace("\n", " ")
    assert "both.pth holds model, model_ema (averaged): model is loaded. For the others: --weights ema" in said
    assert "the model normalises images by itself (mean and std): nothing else does" in said
    record = RunFolder(home / "runs" / "plain").read_record()
    assert (record.model.weights, record.input.mean) == ("model", [])
    assert trained(home, "ema", "--init", str(home / "both.pth"), "--weights", "ema").exit_code == 0
    assert RunFolder(home / "runs" / "ema").read_record().model.weights == "model_ema"


def test_a_head_that_was_left_out_is_replaced_in_training_and_eval_sends_there(home: Path) -> None:
    init = ["--init", str(home / "headless.pth")]
    refused = trained(home, "headless", *init)
    assert refused.exit_code == 2
    assert "pass --replace-head" in refused.stderr
    assert trained(home, "headless", *init, "--replace-head").exit_code == 0
    judged = hardener("eval", home / "net.py", "--data", home / "imgs", "--normalize", "none", *init)
    assert judged.exit_code == 2
    assert "hardener train MODEL --data DIR --init FILE --replace-head" in judged.stderr


def test_eval_takes_the_named_weights_and_flags_what_is_normalised_twice(home: Path) -> None:
    words = f"--init {home / 'both.pth'} --weights model_ema --attack fgsm --samples 4 --device cpu".split()
    target = ["eval", home / "net.py", "--data", home / "imgs", *words, "--json", home / "e.json"]
    twice = hardener(*target, "--normalize", "imagenet")
    assert twice.exit_code == 0, twice.output
    record = json.loads((home / "e.json").read_text())
    assert record["request"]["weights"] == "model_ema"
    assert "normalization" in [flag["id"] for flag in record["flags"]]
    assert hardener(*target, "--normalize", "none").exit_code == 0
    assert "normalization" not in [flag["id"] for flag in json.loads((home / "e.json").read_text())["flags"]]
