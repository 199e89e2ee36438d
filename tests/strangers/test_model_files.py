"""Model files as strangers write them: each works, from training to export, or is refused with the reason.

What lies in tests/strangers/entries differs in how its network is found, what lies in tests/strangers/networks in how
that behaves. A file, or one of a folder, opens with comments: its `kind`, `images: colour 16` where they are not gray
and 8 wide, options for `train`, what it `needs` (`slow`, `long`, `no GPU`), and what to `expect`, a line each:

    trains               it trains, if need be by what follows
    entry: NAME          the name that was found and recorded; none where the file has a conventional one
    typed: OPTIONS       it is refused; the whole command is printed, ends in OPTIONS, and with it the file trains
    pasted: TEXT         it is refused; a function is printed that holds TEXT, and with it the file trains
    error: TEXT          it is refused, and this is said
    says: TEXT           this is said; `silent: TEXT`: this is not
    exports              also `exports: any` number of images, or `exports: 8` and no other
    fails: TEXT          its export says this

HERE in a text stands for the number of the line that ends in `# here`. With the mark `long` all are attacked and
exported.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet
from oracles import write_image_folder
from typer.testing import CliRunner, Result

import hardener
from hardener.cli.app import app
from hardener.config.bundle import read_bundle
from hardener.config.run_folder import RunFolder
from hardener.models.onnx.model import open_onnx
from hardener.models.trained import open_classifier
from hardener.training.journal import Journal
from serving.engine import Engine

HERE = Path(__file__).parent
QUICK = "--epochs 1 --batch-size 8 --device cpu --set validation.steps=1 --set validation.samples=4"
FILES = sorted(p for group in ("entries", "networks") for p in (HERE / group).iterdir() if p.name != "__pycache__")
Told = dict[str, list[str]]


def header(path: Path) -> Told:
    """What a file says of itself, or the one of a folder that does."""
    found = defaultdict(list)
    lines = main_file(path).read_text().splitlines()
    here = next((str(place) for place, line in enumerate(lines, 1) if line.endswith("# here")), "")
    for line in lines:
        told = re.match(r"# ([a-z]+): (.*)", line)
        if told is None:
            break
        found[told[1]].append(told[2].replace("HERE", here))
    return found


def main_file(path: Path) -> Path:
    """The file of a folder that says what it is."""
    return path if path.is_file() else next(p for p in sorted(path.rglob("*.py")) if p.read_text().startswith("# kind"))


def expected(told: Told, what: str) -> list[str]:
    """What follows `what:` among the expectations; an empty text where nothing does."""
    pairs = [line.partition(": ") for line in told["expect"]]
    return [text for name, _, text in pairs if name == what]


def marked(path: Path) -> ParameterSet:
    """An export takes seconds."""
    told = header(path)
    long = "long" in told["needs"]
    slow = long or "slow" in told["needs"] or expected(told, "exports") or expected(told, "fails")
    marks = [*([pytest.mark.slow] if slow else []), *([pytest.mark.long] if long else [])]
    return pytest.param(path, id=f"{path.parent.name}-{path.stem}", marks=marks)


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture takes a third of such a short training, and what a file trains is not seen in it."""
    monkeypatch.setattr(Journal, "draw", lambda *_, **__: None)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, gray and 8 wide, and in colour and 16 wide."""
    folder = tmp_path_factory.mktemp("strangers")
    write_image_folder(folder / "gray 8", {"cat": 12, "dog": 12})
    write_image_folder(folder / "colour 16", {"cat": 12, "dog": 12}, size=(16, 16), color=True)
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def brought(path: Path, folder: Path) -> Path:
    """A copy of a file, as the user has it: what is given as MODEL."""
    main = main_file(path)
    if path.is_file():
        return Path(shutil.copy(path, folder / path.name))
    shutil.copytree(path, folder / path.name)
    copied = folder / path.name / main.relative_to(path)
    return copied.parent if main.name == "__init__.py" else copied


def said_by(result: Result) -> str:
    said = result.stderr.replace("\n", " ")
    assert "This should not happen" not in said, said
    return said


def trained(path: Path, images: Path, folder: Path) -> RunFolder | None:
    """Train a file as its header says, by what is printed; None where it is refused."""
    told, model = header(path), brought(path, folder)
    data = images / (told["images"] or ["gray 8"])[0]
    where = ["--data", data, "--out", folder / "runs", "--name", "run"]
    words = ["train", model, *where, *" ".join([QUICK, *told["train"]]).split()]
    found = run(*words)
    typed, pasted = expected(told, "typed"), expected(told, "pasted")
    if typed or pasted:
        assert found.exit_code == 2, found.output
        assert not (folder / "runs").exists(), "what is refused leaves nothing behind"
        found = followed(found, words, typed, pasted)
    said = said_by(found)
    for text in expected(told, "error"):
        assert found.exit_code == 2, found.output
        assert text in said.partition("error: ")[2], said
    assert all(text in said for text in expected(told, "says")), said
    assert not any(text in found.output for text in expected(told, "silent"))
    if not (typed or pasted or expected(told, "trains")):
        assert expected(told, "error")
        assert not (folder / "runs").exists(), "what cannot be trained leaves nothing behind"
        return None
    assert found.exit_code == 0, found.output
    return RunFolder(folder / "runs" / "run")


def followed(refused: Result, words: list[object], typed: list[str], pasted: list[str]) -> Result:
    """Do what is printed: type the last line, or paste the function."""
    lines = refused.stderr.strip().splitlines()
    command = shlex.split(lines[-1]) if lines[-2:-1] == ["Type:"] else []
    if typed:
        options = shlex.split(typed[0])
        assert command[-len(options) :] == options, refused.stderr
        return run(*command[1:])
    function = re.search(r"^def .*?(?=\n\n|\Z|^and pass )", refused.stderr, re.S | re.M)
    assert function is not None, refused.stderr
    assert pasted[0] in function[0]
    if command:  # the other way, which leaves the file as it is
        assert run(*command[1:], "--name", "other").exit_code == 0
    file = Path(str(words[1]))
    file.write_text(f"{file.read_text()}\n\n{function[0]}\n")
    more = re.search(r"^and pass(.*)\.$", refused.stderr, re.M)
    return run(*words, *shlex.split(more[1] if more else ""))


@pytest.mark.parametrize("path", [marked(path) for path in FILES])
def test_a_file_works_or_is_refused_with_the_reason(path: Path, images: Path, tmp_path: Path) -> None:
    told = header(path)
    if "no GPU" in told["needs"] and torch.cuda.is_available():
        pytest.skip("for machines without a GPU")
    done = trained(path, images, tmp_path)
    if done is None:
        return
    for wanted in expected(told, "entry"):
        assert done.read_record().model.entry == (None if wanted == "none" else wanted)
    brought_here = tmp_path / path.name
    shutil.rmtree(brought_here) if brought_here.is_dir() else brought_here.unlink()
    assert len(hardener.load(done).classes) == 2, "from the run's own copy"
    if path.parent.name == "networks":
        judged = run("eval", done.path, "--attack", "pgd", "--steps", 2, "--samples", 3, "--device", "cpu")
        assert judged.exit_code == 0, judged.output
    if expected(told, "exports") or expected(told, "fails"):
        see_what_the_export_says(done, told)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("path", [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in FILES])
def test_what_trains_can_be_attacked_and_exported(path: Path, images: Path, tmp_path: Path) -> None:
    told = header(path)
    done = trained(path, images, tmp_path)
    if done is None:
        pytest.skip("it is refused")
    found = hardener.evaluate(done, attacks=["fgsm"], samples=4, device="cpu")
    assert 0 <= found.robust_accuracy <= found.clean_accuracy <= 1
    see_what_the_export_says(done, told)


@pytest.mark.slow
@pytest.mark.long
def test_a_file_for_eight_images_at_once_becomes_int8(images: Path, tmp_path: Path) -> None:
    done = trained(HERE / "networks" / "batch_by_numpy.py", images, tmp_path)
    assert done is not None
    bundle = hardener.export(done, quantize="int8", quick=True)
    assert bundle.input.batch == 8
    engine = Engine(done.int8_bundle, bundle, device="cpu", lanes=1)
    assert engine.answers(torch.zeros(3, 8, 8, 1, dtype=torch.uint8).numpy()).shape == (3, 2, 2)


def see_what_the_export_says(done: RunFolder, told: Told) -> None:
    exported, failing = run("export", done.path), expected(told, "fails")
    if failing:
        assert exported.exit_code == 1, exported.output
        assert all(text in exported.stderr.replace("\n", " ") for text in failing), exported.stderr
        assert not re.search(r"\x1b|Next steps|Traceback", exported.stderr)
        return
    assert exported.exit_code == 0, exported.output
    taken = next(iter(expected(told, "exports")), "")
    if taken:
        see_that_it_answers_as_trained(done, None if taken == "any" else int(taken))


def see_that_it_answers_as_trained(done: RunFolder, batch: int | None) -> None:
    """One image, three and more get the network's answers: from the service's engine, and from hardener's own reading
    of the file; the bundle and the card say how many the file takes."""
    bundle = read_bundle(done.bundle)
    assert bundle.input.batch == batch
    assert (f"takes {batch} image" in (done.bundle / "model_card.md").read_text()) == (batch is not None)
    network, file = open_classifier(done, done.read_record()), open_onnx(done.bundle / "model.onnx", on_gpu=False)
    engine = Engine(done.bundle, bundle, device="cpu", lanes=1)
    for count in (1, 3, engine.max_batch, 19):
        given = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8)
        with torch.no_grad():
            answers = network(given.float() / 255)
        torch.testing.assert_close(file(given.float() / 255), answers, rtol=1e-3, atol=1e-4)
        if count <= engine.max_batch:
            served = torch.from_numpy(engine.answers(given.permute(0, 2, 3, 1).contiguous().numpy()))
            torch.testing.assert_close(served[:, 0], answers, rtol=1e-3, atol=1e-4)
    data = done.read_record().data.root
    judged = run("eval", done.bundle / "model.onnx", "--data", data, "--attack", "fgsm", "--samples", 3)
    assert judged.exit_code == 0, judged.output


def test_there_are_files_of_many_kinds() -> None:
    assert len(FILES) >= 60
    assert len({kind for path in FILES for kind in header(path)["kind"]}) >= 27
