from __future__ import annotations

import sys
from collections import OrderedDict, namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.answer import unwrap_logits
from hardener.models.build import build_for
from hardener.models.head import count_outputs, look_at_answer, replace_heads
from hardener.models.load import LoadedModel, ModelChoice, load_model
from hardener.models.normalize import ImageClassifier, normalization

NET = "nn.Sequential(nn.Flatten(), nn.Linear(12, {}))"


def write(folder: Path, text: str, name: str = "net.py") -> str:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text("from torch import nn\n" + text)
    return str(folder / name)


def load(spec: str, *, num_classes: int = 5, channels: int = 3, **options: Any) -> LoadedModel:
    return load_model(ModelChoice(spec, **options), num_classes=num_classes, channels=channels)


def outputs(spec: str, **options: Any) -> int:
    loaded = load(spec, **options)
    return count_outputs(loaded.network, channels=3, height=2, width=2)


def test_the_entry_is_found_in_the_documented_order(tmp_path: Path) -> None:
    everything = (
        f"def build_model(num_classes): return {NET.format('num_classes')}\n"
        f"model = {NET.format(6)}\n"
        f"def other(): return {NET.format(7)}\n"
    )
    spec = write(tmp_path, everything)
    assert outputs(spec) == 5
    assert outputs(spec, entry="model") == 6
    assert outputs(spec, entry="other") == 7
    assert outputs(write(tmp_path, everything.replace("build_model", "_hidden"))) == 6
    assert outputs(write(tmp_path, f"def make(): return {NET.format(7)}")) == 7
    net = """
class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.f = nn.Linear(12, num_classes)

    def forward(self, x):
        return self.f(x.flatten(1))
"""
    assert outputs(write(tmp_path, net)) == 5
    assert outputs(write(tmp_path, f"def build_model(k): return {NET.format('k')}")) == 5
    assert outputs(write(tmp_path, f"def build_model(): return {NET.format(8)}")) == 8


def test_a_file_may_import_files_beside_it_and_two_such_do_not_meet(tmp_path: Path) -> None:
    specs = []
    for name, width in (("one", 5), ("two", 9)):
        folder = tmp_path / name
        (folder / "parts").mkdir(parents=True)
        (folder / "parts" / "__init__.py").write_text(f"WIDTH = {width}\n")
        (folder / "layers.py").write_text("from parts import WIDTH\n")
        specs.append(
            write(folder, f"def build_model(num_classes):\n from layers import WIDTH\n return {NET.format('WIDTH')}")
        )
    path_before = list(sys.path)
    assert [outputs(spec) for spec in specs] == [5, 9]
    assert "layers" not in sys.modules
    assert "parts" not in sys.modules
    assert sys.path == path_before
    loaded = load(specs[0])
    names = [source.relative_to(tmp_path / "one").as_posix() for source in loaded.sources]
    assert names == ["net.py", "layers.py", "parts/__init__.py"]


def test_a_module_beside_the_file_wins_over_one_that_is_loaded_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "helper_of_mine.py").write_text("WIDTH = 1\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    import helper_of_mine  # type: ignore[import-not-found]

    folder = tmp_path / "model"
    spec = write(
        folder, f"from helper_of_mine import WIDTH\ndef build_model(num_classes): return {NET.format('WIDTH')}"
    )
    (folder / "helper_of_mine.py").write_text("WIDTH = 4\n")
    assert outputs(spec) == 4
    assert sys.modules["helper_of_mine"] is helper_of_mine
    monkeypatch.delitem(sys.modules, "helper_of_mine")


def test_each_fault_has_one_clear_error(tmp_path: Path) -> None:
    def fails(text: str, match: str, **options: Any) -> None:
        with pytest.raises(HardenerError, match=match):
            load(write(tmp_path, text), **options)

    fails("1 / 0", r"raises ZeroDivisionError when it is imported: division by zero \(net.py, line 2\)")
    fails("import nothing_there", "raises ModuleNotFoundError when it is imported: No module named 'nothing_there'")
    fails("def f(:", "raises SyntaxError when it is imported")
    fails("x = 3", r"defines no model: looked for build_model\(num_classes\), model, .* found nothing")
    fails(
        "def make_net(width): ...\ndef main(width): ...",
        r"defines no model: .* found make_net, main. Name what builds the network by --entry",
    )
    fails(
        f"def make_a(): return {NET.format(5)}\ndef make_b(): return {NET.format(5)}",
        r"holds 2 networks that fit. Choose one, the likeliest first:\n  --entry make_a .*\n  --entry make_b",
    )
    fails(
        "def make_net(): return nn.ReLU()",
        "has no 'make_nte'; found make_net. Did you mean 'make_net'?",
        entry="make_nte",
    )
    fails(
        "def build_model(num_classes): raise ValueError('no luck')",
        r"build_model in .* raises ValueError: no luck \(net.py, line 2\)",
    )
    fails("def build_model(num_classes): return 3", "returned a int, not an nn.Module")
    fails("x = 3", "x in .* is a int; it must be a function or an nn.Module", entry="x")
    fails(
        "class Net(nn.Module):\n def __init__(self, depth): ...\n",
        "Net in .* needs depth, which hardener cannot know",
        entry="Net",
    )
    for spec, match in (
        ("nowhere.py", "no model file nowhere.py"),
        (str(tmp_path / "net.py") + "x", "no model file"),
        ("torchvision:resnet81", "torchvision has no classifier 'resnet81'. Did you mean 'resnet18'?"),
        ("timm:resnet81", "timm has no model 'resnet81'"),
    ):
        with pytest.raises(HardenerError, match=match):
            load(spec)
    (tmp_path / "weights.pth").write_bytes(b"x")
    with pytest.raises(HardenerError, match="is not a Python file. .* weights go with --init"):
        load(str(tmp_path / "weights.pth"))


def test_a_model_that_fails_on_the_images_says_on_which(tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match=r"the model fails on images of 3 x 4 x 4 \(channels, height, width\)"):
        count_outputs(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), channels=3, height=4, width=4)


def test_registry_models_are_built_for_the_number_of_classes() -> None:
    for spec in ("torchvision:squeezenet1_1", "timm:test_resnet"):
        network = load(spec, num_classes=7).network
        assert count_outputs(network, channels=3, height=64, width=64) == 7


def test_published_weights_come_with_their_own_number_of_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries' own downloads answer from here: names, shapes and the whole way are theirs."""
    import timm
    import torchvision

    published = {
        "torchvision:squeezenet1_1": torchvision.models.squeezenet1_1(),
        "timm:test_resnet.r160_in1k": timm.create_model("test_resnet"),
    }
    kept = {spec: network.state_dict() for spec, network in published.items()}
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: kept["torchvision:squeezenet1_1"]
    )
    monkeypatch.setattr(
        "timm.models._builder.load_state_dict_from_hf", lambda *_, **__: kept["timm:test_resnet.r160_in1k"]
    )
    for spec, state in kept.items():
        network = load(spec, num_classes=7, pretrained=True).network
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
        assert count_outputs(network, channels=3, height=64, width=64) == 1000
        replace_heads(network, 1000, 7, look_at_answer(network, torch.rand(2, 3, 64, 64)).heads)
        assert count_outputs(network, channels=3, height=64, width=64) == 7


def test_published_weights_that_cannot_be_fetched_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def unreachable(*_: Any, **__: Any) -> None:
        tried.append(1)
        raise URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    for spec in ("torchvision:squeezenet1_1", "timm:test_resnet.r160_in1k"):
        with pytest.raises(
            HardenerError,
            match=f"{spec} cannot be built with its published weights: URLError: .*Name or service not known.* "
            "pass it by --init FILE instead of --pretrained",
        ):
            build_for(ModelChoice(spec, pretrained=True), num_classes=7, channels=[3, 1], height=64, width=64)
    assert len(tried) == 2  # once each, though there are two numbers of channels to try


def test_outputs_are_unwrapped() -> None:
    logits = torch.zeros(2, 3)
    inception = namedtuple("inception", ["logits", "aux"])
    for wrapped in (
        logits,
        (logits, None),
        [logits],
        {"logits": logits},
        OrderedDict(out=logits),
        SimpleNamespace(logits=logits),
        inception(logits, None),
    ):
        assert unwrap_logits(wrapped) is logits
    for wrong, match in (
        (torch.zeros(2, 3, 4), "tensor of shape"),
        ({"x": 1}, "returned dict"),
        (None, "returned NoneType"),
    ):
        with pytest.raises(HardenerError, match=match):
            unwrap_logits(wrong)


def test_the_head_is_found_and_replaced_in_any_container() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(OrderedDict(flat=nn.Flatten(), hidden=nn.Linear(12, 4)))
            self.classifier = nn.ModuleDict({"fc": nn.Linear(4, 4)})

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.classifier["fc"](self.body(x))
            return found

    for network, name in (
        (Net(), "classifier.fc"),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False)), "1"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "0"),
    ):
        assert replace_heads(network, 4, 9, look_at_answer(network, torch.rand(2, 3, 2, 2)).heads) == (name,)
        assert count_outputs(network, channels=3, height=2, width=2) == 9
    with pytest.raises(HardenerError, match="no final linear layer with 4 outputs"):
        replace_heads(nn.Sequential(nn.Flatten()), 4, 9, ())


def test_normalisation_is_read_as_it_is_written() -> None:
    measured = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.0]}
    assert normalization("data", channels=3, **measured) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.001))
    assert normalization("none", channels=3, **measured) == ((), ())
    assert normalization("0.5/0.25", channels=3, **measured) == ((0.5,) * 3, (0.25,) * 3)
    assert normalization("0.1,0.2,0.3/1,1,1", channels=3, **measured)[0] == (0.1, 0.2, 0.3)
    assert len(normalization("imagenet", channels=1, **measured)[0]) == 1
    for text, match in (
        ("imagnet", "takes data, none, imagenet or MEAN/STD"),
        ("0.5,0.5/0.2,0.2", "is not for 3 channels"),
        ("0.5/0", "every std must be > 0"),
        ("127/60", "divide yours by 255"),
    ):
        with pytest.raises(HardenerError, match=match):
            normalization(text, channels=3, **measured)


def test_the_wrapper_normalises_as_torchvision_does() -> None:
    from torchvision.transforms.v2.functional import normalize

    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    classifier = ImageClassifier(network, mean=mean, std=std, classes=["a", "b"])
    images = torch.rand(4, 3, 2, 2)
    torch.testing.assert_close(classifier(images), network(normalize(images, mean, std)))
    plain = ImageClassifier(network, mean=(), std=(), classes=["a", "b"])
    torch.testing.assert_close(plain(images), network(images))
