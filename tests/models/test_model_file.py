"""A model file is imported as Python would, gently, and from wherever its imports begin."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hardener.errors import HardenerError
from hardener.models.code.definitions import defines_network
from hardener.models.code.model_file import find_model_file, imported
from hardener.models.load import LoadedModel, ModelChoice, load_model
from hardener.models.tame import tame

NET = "from torch import nn\ndef build_model(num_classes): return nn.Linear(WIDTH, num_classes)\n"


def write(root: Path, **files: str) -> Path:
    """Files of a repository, `_` in the names of folders as `__`."""
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def load(path: Path | str, **rest: object) -> LoadedModel:
    return load_model(ModelChoice(str(path), **rest), num_classes=5)  # type: ignore[arg-type]


def width(loaded: LoadedModel) -> int:
    assert isinstance(loaded.network, torch.nn.Linear)
    return loaded.network.in_features


def copied(loaded: LoadedModel, target: Path) -> Path:
    """As a run copies what a model is made of."""
    for source in loaded.sources:
        place = target / source.resolve().relative_to(loaded.root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    return target / loaded.sources[0].resolve().relative_to(loaded.root)


def package(root: Path) -> Path:
    (root / "repo" / "nets").mkdir(parents=True)
    (root / "repo" / "nets" / "__init__.py").write_text("")
    (root / "repo" / "__init__.py").write_text("")
    return root / "repo"


@pytest.mark.parametrize(
    "line",
    [
        "from .blocks import WIDTH",
        "from ..sizes import WIDTH",
        "from . import blocks; WIDTH = blocks.WIDTH",
        "from repo.sizes import WIDTH",
        "from repo.nets.blocks import WIDTH",
    ],
)
def test_imports_of_a_package_work_and_the_copy_imports_again(line: str, tmp_path: Path) -> None:
    repo = package(tmp_path / "home")
    write(repo, nets__net=f"{line}\n{NET}", nets__blocks="from ..sizes import WIDTH\n", sizes="WIDTH = 7\n")
    torch.get_default_device()  # which imports a part of torch
    before = set(sys.modules)
    loaded = load(repo / "nets" / "net.py")
    assert width(loaded) == 7
    assert set(sys.modules) - before == set()
    again = copied(loaded, tmp_path / "run")
    shutil.rmtree(tmp_path / "home")
    assert width(load(again, root=tmp_path / "run")) == 7
    assert again == tmp_path / "run" / "repo" / "nets" / "net.py"


def test_imports_from_the_root_of_a_repository_are_found(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, models__deep__net=f"from lib.sizes import WIDTH\n{NET}", lib__sizes="WIDTH = 3\n")
    loaded = load(tmp_path / "models" / "deep" / "net.py")
    assert width(loaded) == 3
    assert loaded.root == tmp_path
    shutil.rmtree(tmp_path / ".git")
    assert width(load(tmp_path / "models" / "deep" / "net.py")) == 3  # found by what it imports
    (tmp_path / "requirements.txt").touch()
    assert load(tmp_path / "models" / "deep" / "net.py").root == tmp_path  # an archive, without .git
    assert width(load(tmp_path / "models" / "deep" / "net.py", root=tmp_path)) == 3
    with pytest.raises(HardenerError, match="--root .* is no folder above"):
        load(tmp_path / "models" / "deep" / "net.py", root=tmp_path / "lib")


def test_a_package_that_fails_elsewhere_does_not_keep_its_file_from_being_used(tmp_path: Path) -> None:
    repo = package(tmp_path)
    write(
        repo,
        nets__net=f"from .blocks import WIDTH\n{NET}",
        nets__blocks="WIDTH = 4\n",
    )
    (repo / "__init__.py").write_text("import not_installed_at_all\n")
    assert width(load(repo / "nets" / "net.py")) == 4


def test_a_folder_with_an_init_file_is_a_model(tmp_path: Path) -> None:
    repo = package(tmp_path)
    write(repo, nets__net=f"from ..sizes import WIDTH\n{NET}", sizes="WIDTH = 6\n")
    (repo / "nets" / "__init__.py").write_text("from .net import build_model\n")
    loaded = load(repo / "nets")
    assert (width(loaded), loaded.name) == (6, "nets")
    assert width(load(copied(loaded, tmp_path / "run"), root=tmp_path / "run")) == 6


def test_a_file_sees_its_own_command_line_and_does_not_write_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["hardener", "train", "net.py", "--data", "imgs"])
    path = write(
        tmp_path,
        net="import argparse, sys\nparser = argparse.ArgumentParser()\nparser.add_argument('--width', default=9)\n"
        f"WIDTH = parser.parse_args().width\nprint('hello', sys.argv)\n{NET}",
    )
    assert width(load(path / "net.py")) == 9
    said = capsys.readouterr()
    assert (said.out, said.err.strip()) == ("", f"hello ['{path / 'net.py'}']")
    assert sys.argv[0] == "hardener"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("import of_mine", r"line 1\)\. No of_mine.py is here, and hardener knows no package of_mine"),
        (
            "\nfrom of_mine.drop.path import Drop",
            r"line 2\)\. No of_mine/drop/path.py is here, .* beside the model file",
        ),
        ("from utils.misc import x", r"utils is a part of .* utils/misc.py is not here.* pass --root DIR"),
        ("from .drop import Drop", r"has no \w+/drop.py, which is a part of the repository"),
        ("from torch.utils.serialization import load_lua", "torch.load and torch.save do its work"),
        ("x = 1\nprint 'a'", r"raises SyntaxError .*\(net.py, line 2: print 'a'\)\. It was written for Python 2"),
        *(
            (text, rf"line 1: {re.escape(text)}\)\. Python 3.12 may read this line, and this is 3")
            for text in ('f"{", ".join(x)}"', "type A = int", "def f[T](x: T): ...", "class A[T]: ...")
            if sys.version_info < (3, 12)
        ),
        ("x = f(", r"line 1: x = f\(\)\.$"),
        ("import sys\nsys.exit(3)", r"raises SystemExit .*\(net.py, line 2\)\. It ends the program there"),
        (
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('data')\np.parse_args()",
            r"raises SystemExit .*\(net.py, line 4\).* nargs=\"\?\", default=\"\" for data\.",
        ),
        (
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('--data', required=True)\np.parse_args()",
            r"required: --data \(net.py, line 4\)\. .* default=\"\" in place of required=True for --data\.",
        ),
        ("for epoch in range(3):\n    loss.backward()", r"is a script: .* it trains a network \(net.py, line 1\)"),
        ("if True:\n    loader = DataLoader(x)", r"it opens its data \(net.py, line 2\)"),
        ("d = datasets.MNIST('.', download=True)", r"it downloads data \(net.py, line 1\)"),
        ("open('weights.bin')", r"raises FileNotFoundError .*If that is no part of the network, put what only"),
    ],
)
def test_what_keeps_a_file_from_being_imported_is_said_with_its_line(text: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match=match):
        load(write(tmp_path, net=text) / "net.py")


@pytest.mark.parametrize("cloned", [True, False])
def test_a_submodule_that_was_not_fetched_is_named_with_the_command(cloned: bool, tmp_path: Path) -> None:
    """A repository that was downloaded as a zip has no history: there the command clones."""
    inner = tmp_path / "inner"
    write(inner, parts="WIDTH = 7")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"]):
        subprocess.run([*git, "-C", str(inner), *words], check=True)
    home = write(tmp_path / "home", net=f"from lib.thing import parts\nWIDTH = parts.WIDTH\n{NET}")
    (home / "lib/thing").mkdir(parents=True)
    (home / ".gitmodules").write_text(f'[submodule "thing"]\n\tpath = lib/thing\n\turl = {inner}\n')
    if cloned:
        subprocess.run([*git, "-C", str(home), "init", "-q"], check=True)
    with pytest.raises(HardenerError, match="as a submodule, and .*lib/thing is empty") as found:
        load(home / "net.py")
    command = str(found.value).partition("Type this first: ")[2]
    assert ("submodule update --init lib/thing" in command) == cloned
    if not cloned:
        subprocess.run(shlex.split(command), check=True)
        assert load(home / "net.py") is not None


def test_known_packages_are_named_as_they_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cv2", "einops"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(HardenerError, match="pip install opencv-python$"):
        load(write(tmp_path, net="import cv2") / "net.py")
    with pytest.raises(HardenerError, match=r"line 2\)\. Install it: pip install einops$"):
        load(write(tmp_path, net="\nimport einops.layers.torch as e") / "net.py")
    (tmp_path / "requirements.txt").write_text("torch>=1.7\nnever-heard.of\nof-mine==2\n")
    with pytest.raises(HardenerError, match="pip install of_mine$"):
        load(write(tmp_path, net="import of_mine") / "net.py")


def test_a_part_that_lies_elsewhere_in_the_repository_is_found(tmp_path: Path) -> None:
    write(tmp_path, setup="", autoaug__net="from shake import drop", lib__shake="drop = 1")
    with pytest.raises(HardenerError, match=r"It lies in \S+lib/shake.py: put a copy of it beside net.py"):
        load(tmp_path / "autoaug" / "net.py")


PARTS = "WIDTH = 7\n"
TREES = {
    "a file named as the uppermost package": (
        "menagerie/torch/models/menagerie.py",
        {
            "menagerie/__init__": "",
            "menagerie/torch/__init__": "",
            "menagerie/torch/models/__init__": "from .menagerie import *",
            "menagerie/torch/models/menagerie": f"import torch\nfrom .parts import WIDTH\n{NET}",
            "menagerie/torch/models/parts": PARTS,
        },
    ),
    "the same, imported in full": (
        "menagerie/models/menagerie.py",
        {
            "setup": "",
            "menagerie/__init__": "",
            "menagerie/models/__init__": "",
            "menagerie/models/menagerie": f"from menagerie.models.parts import WIDTH\n{NET}",
            "menagerie/models/parts": PARTS,
        },
    ),
    "a package named torch": (
        "torch/models/net.py",
        {
            "torch/__init__": "",
            "torch/models/net": f"import torch\ntorch.ones(1)\nfrom ..parts import WIDTH\n{NET}",
            "torch/parts": PARTS,
        },
    ),
    "a package named as a part of Python": (
        "code/nets/net.py",
        {"code/nets/net": f"from ..parts import WIDTH\n{NET}", "code/parts": PARTS},
    ),
    "another torchvision": (
        "torchvision/models/resnet.py",
        {
            "torchvision/__init__": "",
            "torchvision/models/__init__": "",
            "torchvision/models/resnet": f"from ..parts import WIDTH\n{NET}",
            "torchvision/parts": PARTS,
        },
    ),
    "a helper that reaches higher than the file": (
        "a/b/net.py",
        {
            "a/b/net": f"from .blocks import WIDTH\n{NET}",
            "a/b/blocks": "from ..parts import WIDTH",
            "a/parts": PARTS,
        },
    ),
    "a file named as its folder": (
        "models/models.py",
        {"models/models": f"from models.parts import WIDTH\n{NET}", "models/parts": PARTS, "setup": ""},
    ),
    "a nearer module of the name": (
        "nets/net.py",
        {
            "setup": "",
            "utils/parts": PARTS,
            "nets/utils": "x = 1",
            "nets/net": f"from utils.parts import WIDTH\n{NET}",
        },
    ),
    "names with dots": (
        "v1.0/models/net.v2.py",
        {"v1.0/models/net.v2": f"from ..parts import WIDTH\n{NET}", "v1.0/parts": PARTS},
    ),
    "a package that imports its file": (
        "menagerie/net.py",
        {
            "menagerie/__init__": "from .net import build_model",
            "menagerie/net": f"from menagerie import parts\nfrom .parts import WIDTH\n{NET}",
            "menagerie/parts": PARTS,
        },
    ),
}


@pytest.mark.parametrize("kind", TREES)
def test_a_file_of_a_package_is_itself_whatever_else_bears_its_names(kind: str, tmp_path: Path) -> None:
    name, files = TREES[kind]
    write(tmp_path / "home" / "repo", **files)
    torch.get_default_device()  # which imports a part of torch
    before = dict(sys.modules)
    loaded = load(tmp_path / "home" / "repo" / name)
    assert width(loaded) == 7
    assert sys.modules == before
    again = copied(loaded, tmp_path / "run")
    shutil.rmtree(tmp_path / "home")
    assert width(load(again, root=tmp_path / "run")) == 7


def test_training_below_main_and_ctrl_c_pass(tmp_path: Path) -> None:
    guarded = f"WIDTH = 2\n{NET}if __name__ == '__main__':\n    for e in range(3):\n        loss.backward()\n"
    assert width(load(write(tmp_path, net=guarded) / "net.py")) == 2
    with pytest.raises(KeyboardInterrupt):
        load(write(tmp_path, net="raise KeyboardInterrupt") / "net.py")


def test_a_module_that_is_loaded_already_is_copied_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook the helper beside the model file has often been imported before."""
    write(tmp_path, net=f"from sizes_of_mine import WIDTH\n{NET}", sizes_of_mine="WIDTH = 8\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import sizes_of_mine  # type: ignore[import-not-found]

    loaded = load(tmp_path / "net.py")
    assert [source.name for source in loaded.sources] == ["net.py", "sizes_of_mine.py"]
    assert sys.modules["sizes_of_mine"] is sizes_of_mine
    monkeypatch.delitem(sys.modules, "sizes_of_mine")


@pytest.mark.parametrize(
    ("base", "defines"),
    [
        ("torch.nn.Sequential", True),
        ("torchvision.models.ResNet", True),
        ("Deep", True),
        ("made(nn.Module)", True),
        ("nn.Module", False),
        ("torch.utils.data.Dataset", False),
        ("OwnDataset", False),
        ("Enum", False),
        ("object", False),
    ],
)
def test_a_class_without_forward_is_a_network_where_its_base_may_be_one(
    base: str, defines: bool, tmp_path: Path
) -> None:
    imports = (
        "import torch\nimport torchvision.models\nfrom torch import nn\nfrom enum import Enum\n"
        "from nets import Deep, OwnDataset, made\n"
    )
    path = write(tmp_path, net=f"{imports}class Net({base}):\n    pass\n") / "net.py"
    assert defines_network(path) is defines
    path.write_text(f"{path.read_text()}class Inner(Net): pass\n")
    assert defines_network(path) is defines


def test_a_file_that_asks_how_wide_the_terminal_is_loads_without_one(tmp_path: Path) -> None:
    write(
        tmp_path,
        net=f"from bar import WIDTH\n{NET}",
        bar="import os\nprint(os.get_terminal_size().columns)\n"
        "_, WIDTH = os.popen('stty size', 'r').read().split()\nWIDTH = int(WIDTH) // 2\n",
    )
    code = (
        "import os\nfrom hardener.models.load import load_model\n"
        f"load_model({str(tmp_path / 'net.py')!r}, num_classes=2)\nprint(os.popen('echo two').read())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout.strip(), ran.stderr.strip()) == (0, "two", "80")


def test_a_file_that_is_read_from_the_root_of_the_repository_is_found_there(tmp_path: Path) -> None:
    write(tmp_path, nets__net="import pathlib\nWIDTH = int(pathlib.Path('settings/width.txt').read_text())\n" + NET)
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "width.txt").write_text("3")
    (tmp_path / "pyproject.toml").touch()
    with pytest.raises(HardenerError, match=r"'settings/width.txt'.* It lies in (\S+)\. Type this first: cd \1$"):
        load(tmp_path / "nets" / "net.py")
    with contextlib.chdir(tmp_path):
        assert width(load(tmp_path / "nets" / "net.py")) == 3


def test_a_module_that_loads_when_it_is_asked_is_not_asked(tmp_path: Path) -> None:
    lazy = (
        "import types\nfrom torch import nn\nclass Lazy(types.ModuleType):\n    def __getattr__(self, name):\n"
        "        raise ModuleNotFoundError(f'of the library, {name} is not installed')\nlazy = Lazy('lazy')\n"
        "class Net(nn.Linear):\n    def forward(self, x):\n        return super().forward(x)\n"
    )
    write(tmp_path, net=f"{lazy}def build_model(num_classes): return Net(3, num_classes)\n")
    assert tame(load(tmp_path / "net.py").network) == []


@pytest.mark.parametrize("adds", ["parser", "group"])
def test_a_script_whose_network_reads_an_argument_gets_its_parser_whole(adds: str, tmp_path: Path) -> None:
    text = (
        "import argparse\nfrom torch import nn\nparser = argparse.ArgumentParser()\n"
        f"group = parser.add_argument_group('of the network')\n{adds}.add_argument('--width', default=3, type=int)\n"
        "args = parser.parse_args()\nwidth = args.width\n"
        "class Net(nn.Linear):\n    def __init__(self, num_classes):\n        super().__init__(width, num_classes)\n"
        "    def forward(self, x):\n        return super().forward(x)\n"
        "for epoch in range(3):\n    loss.backward()\n"
    )
    assert width(load(write(tmp_path, net=text) / "net.py")) == 3


PARSED = """
import argparse
from torch import nn
args = None


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(args.width, num_classes, bias=args.no_bias)

    def forward(self, x):
        return self.fc(x)


"""
ARGUMENTS = """
    parser = argparse.ArgumentParser()
    parser.add_argument('-w', '--width', type=int, default=3)
    parser.add_argument('--no-bias', action='store_false')
    parser.add_argument('--rate', default=find_rate())
    parser.add_argument('data')
    args = parser.parse_args()
"""


@pytest.mark.parametrize("part", ["if __name__ == '__main__':", "def main():\n    global args", "def main():"])
def test_arguments_that_only_the_main_part_of_a_file_reads_are_as_its_parser_has_them(
    part: str, tmp_path: Path
) -> None:
    write(tmp_path, net=f"{PARSED}{part}{ARGUMENTS}")
    if part == "def main():":  # its args are its own
        with pytest.raises(HardenerError, match="width"):
            load(tmp_path / "net.py")
        return
    loaded = load(tmp_path / "net.py")
    assert loaded.network.fc.in_features == 3  # type: ignore[union-attr]
    assert loaded.network.fc.bias is not None  # type: ignore[union-attr]
    assert "args of net.py would come from the command line of its main part" in " ".join(loaded.notes)
    with imported(find_model_file(tmp_path / "net.py")) as found:
        assert not hasattr(found.module.args, "rate"), "nothing is run for it"
        assert not hasattr(found.module.args, "data"), "it has no default"
