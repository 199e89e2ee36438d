"""Networks of all kinds, as strangers bring them: each trains and is evaluated, or is refused with the reason.

A file of tests/strangers/models opens with comments: its `kind`, options for `train`, what a machine `needs`, and what
to `expect`: `trains`, `exports`, `exports: any` number of images, or `exports: 8` and no other, `fails: TEXT` of
export, `says: TEXT`, `silent: TEXT`, or `error: TEXT`, a line each. HERE in a text stands for the number of the
line that ends in `# here`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet
from oracles import write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.bundle import read_bundle
from hardener.config.run_folder import RunFolder
from hardener.models.onnx_model import open_onnx
from hardener.models.trained import open_classifier
from serving.engine import Engine

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


def marked(path: Path) -> ParameterSet:
    """An export takes seconds."""
    exports = any(line.startswith(("exports", "fails")) for line in header(path)["expect"])
    return pytest.param(path, id=path.stem, marks=pytest.mark.slow if exports else ())


@pytest.mark.parametrize("path", [marked(path) for path in MODELS])
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
    failing = [text for what, text in expected if what == "fails"]
    taken = next((text for what, text in expected if what == "exports"), None)
    if not failing and taken is None:
        return
    exported = hardener("export", run)
    if failing:
        assert exported.exit_code == 1, exported.output
        assert all(text in exported.stderr.replace("\n", " ") for text in failing), exported.stderr
        assert not re.search(r"\x1b|Next steps|Traceback", exported.stderr)
        return
    assert exported.exit_code == 0, exported.output
    if taken:
        see_that_it_answers_as_trained(RunFolder(run), None if taken == "any" else int(taken))


def see_that_it_answers_as_trained(run: RunFolder, batch: int | None) -> None:
    """One image, three and more get the network's answers: from the service's engine, and from hardener's own reading
    of the file; the bundle and the card say how many the file takes."""
    bundle = read_bundle(run.bundle)
    assert bundle.input.batch == batch
    assert (f"takes {batch} image" in (run.bundle / "model_card.md").read_text()) == (batch is not None)
    network, file = open_classifier(run, run.read_record()), open_onnx(run.bundle / "model.onnx", on_gpu=False)
    engine = Engine(run.bundle, bundle, device="cpu", lanes=1)
    for count in (1, 3, engine.max_batch, 19):
        images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8)
        with torch.no_grad():
            expected = network(images.float() / 255)
        torch.testing.assert_close(file(images.float() / 255), expected, rtol=1e-3, atol=1e-4)
        if count <= engine.max_batch:
            served = torch.from_numpy(engine.answers(images.permute(0, 2, 3, 1).contiguous().numpy()))
            torch.testing.assert_close(served[:, 0], expected, rtol=1e-3, atol=1e-4)
    judged = hardener("eval", run.bundle / "model.onnx", "--data", run.path.parent.parent / "imgs", "--samples", 3)
    assert judged.exit_code == 0, judged.output


def test_there_are_networks_of_many_kinds() -> None:
    assert len({kind for path in MODELS for kind in header(path)["kind"]}) >= 12
