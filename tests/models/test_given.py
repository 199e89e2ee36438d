"""Values of --model-arg: what a network is built with by them, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from torch import nn

from hardener.cli.options import asked_arguments
from hardener.errors import HardenerError
from hardener.models.choosing.by_name import for_these
from hardener.models.choosing.given import said
from hardener.models.code.arguments import Facts
from hardener.models.code.model_file import find_model_file, imported
from hardener.models.load import ModelChoice, load_model

FILE = """
from dataclasses import dataclass
from torch import nn


class Wide(nn.Linear):
    pass


@dataclass
class Settings:
    width: int = 4
    classes: int = 10


class Net(nn.Module):
    def __init__(self, block=nn.Linear, args=None, word="Wide"):
        super().__init__()
        self.word = word
        self.args = args
        self.fc = block(3, args.width)


class Configured(nn.Module):
    def __init__(self, config: Settings):
        super().__init__()
        self.fc = nn.Linear(3, config.width + config.classes)
"""


@dataclass
class Two:
    width: int = 4
    depth: int = 2


def test_names_of_classes_and_settings_reach_the_network(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE)
    given = {"block": "Wide", "args": {"width": 5, "inner": {"deep": 1, "eps": "1e-5"}}, "word": "Wide"}
    network = load_model(ModelChoice(str(tmp_path / "net.py"), "Net", given), num_classes=2).network
    assert type(network.fc).__name__ == "Wide"
    assert network.word == "Wide", "a text is one where no class is asked for"
    assert network.args["inner"].deep == network.args.inner["deep"] == 1  # type: ignore[index, union-attr]
    assert network.args.inner.eps == 1e-5, "YAML 1.1 takes it for a word"  # type: ignore[union-attr]
    choice = ModelChoice(str(tmp_path / "net.py"), "Configured", {"config": {"width": 5}})
    assert load_model(choice, num_classes=2).network.fc.out_features == 15  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value",
    [
        3,
        0.5,
        1e-5,
        -2e20,
        "basic",
        True,
        None,
        [2, 2],
        {"a": {"b": [1, True]}, "c": None},
        "",
        "yes",
        "3",
        {"weights": "", "layers": ["*", "a, b", "it's"], "a: b": "null"},
        SimpleNamespace(a=1),
        Two(7),
    ],
)
def test_what_is_said_is_read_back(value: object) -> None:
    plain = {Two: {"width": 7}, SimpleNamespace: {"a": 1}}.get(type(value), value)
    assert yaml.safe_load(str(said(value))) == plain


def test_what_no_text_stands_for_is_not_said() -> None:
    assert said(nn.Linear, "nn.Linear") == "nn.Linear"
    assert said(nn.ReLU(), "nn.ReLU()") is None
    assert said({"block": object()}) is None


FETCHES = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


def build_model(num_classes, pretrained=True, weights="DEFAULT", progress=True):
    if pretrained or weights:
        raise RuntimeError("it would fetch weights")
    return Net(num_classes)
"""


def test_weights_that_a_builder_fetches_by_default_are_not_fetched_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(FETCHES)
    said = load_model(ModelChoice(str(path)), num_classes=2).notes
    assert "fetch weights by default and is built with pretrained=False, weights=None" in said[1]
    with pytest.raises(HardenerError, match="it would fetch weights"):
        load_model(ModelChoice(str(path), arguments={"pretrained": True}), num_classes=2)
    path.write_text(FETCHES.replace("build_model", "small_net"))
    assert load_model(ModelChoice(str(path), "small_net"), num_classes=2).network is not None


NAMES = """
from torch import nn

SIZES = {"small.v1": {"width": 3}, "big": {"width": 4}}


class Body(nn.Module):
    def __init__(self, width=5):
        super().__init__()
        self.fc = nn.Linear(2, width)


class Params:
    def __init__(self, name, widths=(), layer=None):
        self.name, self.widths, self.layer = name, list(widths), layer


class Net(nn.Module):
    def __init__(self, body=None, norm=None, sizes=None, word=None):
        super().__init__()
        self.body, self.norm, self.sizes, self.word = body, norm, sizes, word
"""


def test_a_text_with_dots_or_a_call_gives_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NAMES)
    given = {"body": "Body()", "norm": "torch.nn.BatchNorm2d", "sizes": "SIZES.small.v1", "word": "big.data"}
    network = load_model(ModelChoice(str(path), "Net", given), num_classes=2).network
    assert network.body.fc.out_features == 5  # type: ignore[union-attr]
    assert network.norm is nn.BatchNorm2d
    assert network.sizes == {"width": 3}
    assert network.word == "big.data", "what names nothing is a text"
    also = {"norm": "nn.GELU()", "sizes": "SIZES.big", "body": {"kind": "nn.GELU"}}
    network = load_model(ModelChoice(str(path), "Net", also), num_classes=2).network
    assert isinstance(network.norm, nn.GELU)
    assert network.body["kind"] is nn.GELU  # type: ignore[index]


def test_what_is_made_by_name_is_made_for_each_network(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NAMES.replace("self.body, self", "body.fc = body.fc.weight\n        self.body, self"))
    network = load_model(ModelChoice(str(path), "Net", {"body": "Body()"}), num_classes=2, size=(8, 8)).network
    assert isinstance(network.body.fc, nn.Parameter), "trials changed others"  # type: ignore[union-attr]


def test_a_call_is_made_with_its_arguments_for_each_network(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NAMES)
    given = {"body": 'Params("b: 0", [1, 2], layer=nn.GELU())', "sizes": "Params(SIZES.big)", "word": "Params(nowhere)"}
    networks = [load_model(ModelChoice(str(path), "Net", given), num_classes=2).network for _ in range(2)]
    bodies = [network.body for network in networks]
    assert [body.name for body in bodies] == ["b: 0", "b: 0"]  # type: ignore[union-attr]
    assert bodies[0].widths == [1, 2]  # type: ignore[union-attr]
    assert bodies[0].widths is not bodies[1].widths, "each has a list of its own"  # type: ignore[union-attr]
    assert isinstance(bodies[0].layer, nn.GELU)  # type: ignore[union-attr]
    assert networks[0].sizes.name == {"width": 4}  # type: ignore[union-attr]
    assert networks[0].word == "Params(nowhere)", "what names nothing is a text"
    assert asked_arguments(["body=Params({'a': 1}, x=2)", "word={a: 1}"]) == {
        "body": "Params({'a': 1}, x=2)",
        "word": {"a": 1},
    }


def test_a_call_of_a_script_is_printed_with_what_the_data_says(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "class Params:\n    def __init__(self, channels, out_dim, in_channels, num_classes, size): pass\n"
    )
    with imported(find_model_file(tmp_path / "net.py")) as found:
        text = for_these("Params(256, 16, in_channels=1, num_classes=None, size=32)", found, Facts(4, 3, (64, 64)))
        assert text == "Params(channels=256, out_dim=16, in_channels=3, num_classes=4, size=64)"
        assert for_these("Params(3, 3)", found, Facts(4, 1)) == "Params(channels=1, out_dim=3, num_classes=4)"
        assert for_these("Nothing(3)", found, Facts(4, 1)) == "Nothing(3)"


OF_PATCHES = """
import torch
from torch import nn
class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
    def forward(self, x):
        return self.patches(x).flatten(2).transpose(1, 2)
class Net(nn.Module):
    def __init__(self, body, num_patches=196, num_classes=10):
        super().__init__()
        self.body, self.positions = body, nn.Parameter(torch.zeros(1, num_patches, 8))
        self.fc = nn.Linear(8, num_classes)
    def forward(self, x):
        return self.fc((self.body(x) + self.positions).mean(1))
"""


def test_a_number_of_patches_is_found_beside_an_object_that_is_made_for_each_network(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(OF_PATCHES)
    with pytest.raises(HardenerError) as found:
        load_model(ModelChoice(str(path), arguments={"body": "Body()"}), num_classes=2, size=(12, 12))
    assert "num_patches=9" in found.value.options
