"""Networks of all kinds, as strangers bring them: each trains and is evaluated, or is refused with the reason.

A file of tests/strangers/models opens with comments: its `kind`, options for `train`, what a machine `needs`, and what
to `expect`: `trains`, `exports`, `says: TEXT`, `silent: TEXT`, or `error: TEXT`, a line each. HERE in a text stands for
the number of the line that ends in `# here`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from oracles import write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli.app import app

MODELS = sorted((Path(__file__).parent / "models").glob("*.py"))
QUICK = "--epochs 1 --batch-size 8 --device cpu --set validation.steps=1 --set validation.samples=4"


def header(path: Path) -> dict[str, list[str]]:
    """What a file says of itself."""
    found = defaultdict(list)
    lines = path.read_text().splitlines()
    here = next((str(place) for place, line in enumerate(lines, 1) if line.endswith("# here")), "")
    for line in lines:
        told = re.match(r"# ([a-z]+): (.*)", line)
        if told is None:
            break
        found[told[1]].append(told[2].replace("HERE", here))
    return found


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of two classes, 8 x 8 and gray."""
    folder = tmp_path_factory.mktemp("strangers")
    write_image_folder(folder / "imgs", {"cat": 12, "dog": 12})
    return folder


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_network_works_or_is_refused_with_the_reason(path: Path, home: Path) -> None:
    told = header(path)
    if "no GPU" in told["needs"] and torch.cuda.is_available():
        pytest.skip("for machines without a GPU")
    expected = [line.partition(": ")[::2] for line in told["expect"]]
    options = " ".join([QUICK, *told["train"]]).split()
    found = hardener("train", path, "--data", home / "imgs", *options, "--out", home / "runs", "--name", path.stem)
    said = found.stderr.replace("\n", " ")
    assert "This should not happen" not in said
    for what, text in expected:
        if what == "error":
            assert found.exit_code == 2, found.output
            assert "error: " in said
            assert text in said.partition("error: ")[2], said
        elif what == "says":
            assert text in said, said
        elif what == "silent":
            assert text not in found.output
    run = home / "runs" / path.stem
    if ("trains", "") not in expected:
        assert not run.exists(), "what cannot be trained leaves nothing behind"
        return
    assert found.exit_code == 0, found.output
    words = f"{run} --attack pgd --steps 2 --samples 3 --device cpu".split()
    judged = hardener("eval", *words)
    assert judged.exit_code == 0, judged.output
    if ("exports", "") in expected:
        exported = hardener("export", run)
        assert exported.exit_code == 0, exported.output


def test_there_are_networks_of_many_kinds() -> None:
    assert len({kind for path in MODELS for kind in header(path)["kind"]}) >= 12
