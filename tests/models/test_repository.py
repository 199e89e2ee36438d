"""What the files around a model file say: scripts' arguments, settings, calls and records, read and not run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from hardener.errors import HardenerError
from hardener.models.choosing.repository import as_list, repository_of
from hardener.models.code.model_file import find_model_file
from hardener.models.load import ModelChoice, load_model

NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.f = nn.ModuleList(nn.Conv2d(3, args.base * args.growth[place], 1) for place in range(args.stages))
        self.fc = nn.Linear(sum(one.out_channels for one in self.f), args.classes)
    def forward(self, x):
        return self.fc(torch.cat([one(x) for one in self.f], 1).mean((2, 3)))
"""
SCRIPT = """
import argparse
raise SystemExit("this is read and not run")
parser = argparse.ArgumentParser()
parser.add_argument("--growth", default="1-2-5", type=str)
parser.add_argument("--base", "-b", default=7, type=int)
args = parser.parse_args()
args.stages = len(args.growth)
images = images.cuda(async=True)
"""
SEARCHED = """
from torch import nn
class Cells(nn.Module):
    def __init__(self, width, num_classes, layers, plan):
        super().__init__()
        sizes = [size for _, size in plan.normal for _ in range(layers)]
        self.f = nn.ModuleList(nn.Conv2d(3, 3, size, padding=size // 2) for size in sizes)
        self.fc = nn.Linear(3 * len(plan.concat) + 0 * width, num_classes)
    def forward(self, x):
        for layer in self.f:
            x = layer(x) * (1 - self.drop_prob)
        return self.fc(x.mean((2, 3)).repeat(1, 2))
"""


WIDE = """
from torch import nn
class Wide(nn.Module):
    def __init__(self, depth, num_classes, factor=1, drop=0, pretrained=False):
        super().__init__()
        self.fc = nn.Linear(3 * factor, num_classes)
    def forward(self, x):
        return self.fc(x.mean((2, 3)).repeat(1, self.fc.in_features // 3))
"""
GROUPS = """
from torch import nn
class Stem(nn.Module):
    def __init__(self, conf):
        super().__init__()
        self.conv = nn.Conv2d(3, conf.net.width, 1)
class Body(nn.Module):
    def __init__(self, conf):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(conf.net.depth))
class Net(nn.Module):
    def __init__(self, conf):
        super().__init__()
        self.stem, self.body = Stem(conf), Body(conf)
        self.fc = nn.Linear(conf.net.width, conf.net.classes)
    def forward(self, x):
        return self.fc(self.stem.conv(x).mean((2, 3)))
SETTINGS = {"net": {"width": 5, "depth": 2}}
"""


def refused(path: Path) -> HardenerError:
    with pytest.raises(HardenerError) as found:
        load_model(ModelChoice(str(path)), num_classes=2, size=(8, 8))
    return found.value


def test_settings_have_the_values_of_the_repositorys_own_script(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.py").write_text(NET)
    (tmp_path / "main.py").write_text(SCRIPT)
    error = refused(tmp_path / "nets" / "net.py")
    assert error.options == "--entry Net --model-arg 'args={classes: 2, stages: 3, base: 7, growth: [1, 2, 5]}'"
    said = re.findall(r"'args=(.*)'", error.options)[0]
    choice = ModelChoice(str(tmp_path / "nets" / "net.py"), "Net", {"args": yaml.safe_load(said)})
    built = load_model(choice, num_classes=2, size=(8, 8)).network
    assert len(built.get_submodule("f")) == 3  # type: ignore[arg-type]


def test_a_searched_network_gets_a_record_a_call_and_what_a_script_sets(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    path = tmp_path / "model.py"
    path.write_text(SEARCHED)
    (tmp_path / "plans.py").write_text(
        "A = Plan(normal=[('a', 1), ('b', 3)], concat=[2, 3])\nB = Plan(normal=[], rest=1)\n"
    )
    (tmp_path / "train.py").write_text(
        "from model import Cells as Network\nparser.add_argument('--drop_prob', default=0.25)\n"
        "parser.add_argument('--depth', default=2)\nnetwork = Network(6, 10, args.depth, plan)\n"
    )
    said = "--entry Cells --model-arg width=6 --model-arg layers=2 --model-arg {} --model-arg self.drop_prob=0.25"
    assert refused(path).options == said.format("'plan={normal: [[a, 1], [b, 3]], concat: [2, 3]}'")
    plans = (tmp_path / "plans.py").read_text()
    (tmp_path / "plans.py").write_text(
        "from collections import namedtuple\nPlan = namedtuple('Plan', 'normal concat')\n"
        f"{plans.splitlines()[0]}\nMODEL = Plan(normal=[('a', 1)], concat=range(2))\n"
    )
    repository_of.cache_clear()
    error = refused(path)
    assert "Others for plan: A." in str(error)
    assert error.options == said.format("plan=plans.MODEL")
    given = {"width": 6, "layers": 2, "plan": "plans.A", "self.drop_prob": 0.25}
    built = load_model(ModelChoice(str(path), "Cells", given), num_classes=2)
    assert len(built.network.get_submodule("f")) == 4  # type: ignore[arg-type]
    assert [source.name for source in built.sources] == ["model.py", "plans.py"]


def test_settings_of_files_are_found_by_the_end_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("")
    (tmp_path / "net.py").write_text("")
    (tmp_path / "config.py").write_text("_C.MODEL.DEPTH = 28\n_C.OTHER.DEPTH = 5\nself.depth = 9\n")
    (tmp_path / "big.yaml").write_text("model: {width: 64}\n")
    (tmp_path / "broken.yaml").write_text("{")
    (tmp_path / "broken.py").write_text("print 'no'")
    found = repository_of(find_model_file(tmp_path / "net.py"))
    assert found.values(("model", "depth")) == [28, 5]
    assert found.values(("other", "depth")) == [5, 28]
    assert found.values(("width",)) == [64]
    assert found.values(("height",)) == []


def test_outside_of_a_repository_only_what_lies_beside_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "settings.json").write_text('{"width": 3}')
    (tmp_path / "beside.json").write_text('{"width": 4}')
    (tmp_path / "net.py").write_text("")
    assert repository_of(find_model_file(tmp_path / "net.py")).values(("width",)) == [4]


def test_a_call_gives_also_what_has_a_default(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(WIDE)
    (tmp_path / "train.py").write_text(
        "parser.add_argument('--factor', default=7)\nmodel = Wide(3, 10, args.factor, drop=0, pretrained=True)\n"
    )
    assert refused(tmp_path / "net.py").options == "--entry Wide --model-arg depth=3 --model-arg factor=7"


BUILDERS = """
from torch import nn
class Net(nn.Module):
    def __init__(self, count, n_planes, num_classes):
        super().__init__()
        assert len(n_planes) == 4
        self.f = nn.ModuleList(nn.Conv2d(3, width, count) for width in n_planes)
        self.fc = nn.Linear(n_planes[3], num_classes)
    def forward(self, x):
        return self.fc(self.f[3](x).mean((2, 3)))
def net1(**kwargs):
    return Net(1, **kwargs)
"""


def test_what_a_builder_hands_on_is_a_list_of_widths(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(BUILDERS)
    assert refused(tmp_path / "net.py").options == "--entry net1 --model-arg 'n_planes=[64, 128, 256, 512]'"
    (tmp_path / "train.py").write_text(
        "class Run:\n    def __init__(self):\n        self.planes = [5, 6, 7, 8]\n        net1(n_planes=self.planes)\n"
    )
    repository_of.cache_clear()
    assert refused(tmp_path / "net.py").options == "--entry net1 --model-arg 'n_planes=[5, 6, 7, 8]'"


def test_settings_in_groups_are_gathered_from_all_that_they_are_handed_to(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(GROUPS)
    options = refused(tmp_path / "net.py").options
    assert options == "--entry Net --model-arg 'conf={net: {depth: 2, width: 5, classes: 2}}'"


@pytest.mark.parametrize(
    ("text", "value"), [("1-2-4", [1, 2, 4]), ("0.5, 1", [0.5, 1]), ("resnet-18", "resnet-18"), (3, 3)]
)
def test_lists_that_are_written_as_a_text_are_read(text: object, value: object) -> None:
    assert as_list(text) == value


def test_a_default_that_stands_for_nothing_is_no_value_and_a_path_gets_a_word(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, lr, save_path, num_classes):\n"
        "        super().__init__()\n        self.lr, self.kept = lr, save_path\n"
        "        self.fc = nn.Linear(3, num_classes)\n"
        "    def forward(self, x):\n        return self.fc(x.mean((2, 3)))\n"
    )
    (tmp_path / "train.py").write_text(
        "parser.add_argument('-lr', default=-1)\nparser.add_argument('--save_path', default='')\n"
    )
    assert refused(tmp_path / "net.py").options == "--entry Net --model-arg lr=0.1 --model-arg save_path=."
