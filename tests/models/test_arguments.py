"""The names of arguments that hardener knows, and the ways to build that follow from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardener.models.code.arguments import Facts, Takes, known_arguments, meanings, replaced_defaults, takes
from hardener.models.load import load_model

MLP = """
from torch import nn


class Net(nn.Module):
    def __init__(self, {name}, num_classes):
        super().__init__()
        self.fc = nn.Linear({name}{more}, num_classes)

    def forward(self, x):
        return self.fc(x.flatten(1))
"""
CONV = """
from torch import nn


class Net(nn.Module):
    def __init__(self, input_dim, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(input_dim, num_classes, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))
"""


@pytest.mark.parametrize("name", ["x_dim", "in_size", "img_dim", "n_inputs", "image_size=28", "input_dim=784"])
def test_the_flattened_input_is_known_by_many_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    text = MLP.format(name=name, more="").replace("num_classes):\n        super", "num_classes=10):\n        super")
    path.write_text(text.replace(f"Linear({name}", f"Linear({name.partition('=')[0]}"))
    network = load_model(str(path), num_classes=2, channels=1, size=(6, 4)).network
    assert network.fc.in_features == 24  # type: ignore[union-attr]


def test_a_side_comes_before_the_count_of_pixels(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(MLP.format(name="img_dim", more=" * img_dim * 3"))
    assert load_model(str(path), num_classes=2, size=(4, 4)).network.fc.in_features == 48  # type: ignore[union-attr]


def test_an_input_may_be_channels_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(CONV)
    assert load_model(str(path), num_classes=2, size=(4, 4)).network.conv.in_channels == 3  # type: ignore[union-attr]


def test_what_a_name_may_mean_comes_once_and_the_likeliest_first() -> None:
    facts = Facts(2, 3, (4, 4))
    assert meanings("num_classes", facts) == [2]
    assert meanings("img_size", facts) == [4, (4, 4), 48]
    assert meanings("input_shape", facts) == [(3, 4, 4), (4, 4), (4, 4, 3), (1, 3, 4, 4), 3, 48]
    assert meanings("input_shape", facts, int) == [3, (4, 4), (4, 4, 3), (1, 3, 4, 4), 48]
    assert meanings("in_features", facts) == [48]
    assert meanings("depth", facts) == []


@pytest.mark.parametrize(("default", "shape"), [((1, 32, 32), (3, 6, 4)), ([224, 224, 3], [6, 4, 3])])
def test_a_shape_by_default_is_that_of_the_images(default: object, shape: object) -> None:
    assert known_arguments(Takes({"resolution": default}), Facts(2, 3, (6, 4)), {}) == {"resolution": shape}


def test_the_number_of_outputs_is_known_as_that_of_classes() -> None:
    assert known_arguments(Takes({"out_classes": 10}), Facts(2, 3), {}) == {"out_classes": 2}


def test_nc_is_the_number_of_classes_where_nothing_says_otherwise() -> None:
    def needs(nc: int) -> None: ...
    def has(nc: int = 80, ch: int = 16) -> None: ...
    def both(nc: int, num_classes: int) -> None: ...
    def channels(nc: int = 3, ndf: int = 64) -> None: ...

    facts = Facts(5, 3)
    known = [known_arguments(taken, facts, {}) for one in (needs, has, both, channels) if (taken := takes(one))]
    assert known == [{"nc": 5}, {"nc": 5}, {"nc": 3, "num_classes": 5}, {"nc": 3}]


def test_each_default_that_is_replaced_is_told() -> None:
    def build(num_channels: int = 1, out_dim: int = 128, depth: int = 3, pretrained: bool = True) -> None: ...

    taken = takes(build)
    assert taken is not None
    way = known_arguments(taken, Facts(5, 3), {"depth": 4})
    assert replaced_defaults(taken, way, {"depth"}) == ("num_channels=3 in place of 1", "out_dim=5 in place of 128")
