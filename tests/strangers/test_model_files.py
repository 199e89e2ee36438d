"""Model files as strangers write them: each is trained as it is, or after what was printed was followed.

What lies in tests/strangers/entries, a file or a folder, opens with comments: its `kind`, `needs: slow` where it takes
long, and what to `expect`:

    as typed [NAME]          it trains; NAME is the entry that was found
    after OPTIONS            it is refused; what is printed holds OPTIONS, and with them it trains
    after pasting TEXT       it is refused; a function is printed that holds TEXT, and with it the file trains
    refused "TEXT"           it is refused, with the reason

All are opened again as a run. With the mark `long` they are attacked and exported too.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from oracles import write_image_folder

import hardener
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError

ENTRIES = Path(__file__).parent / "entries"
QUICK = {"epochs": 1, "batch_size": 8, "validation.steps": 1, "validation.samples": 4, "data.cache": False}


def described(path: Path) -> dict[str, list[str]]:
    """What a file says of itself."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        told = re.match(r"# ([a-z]+): (.*)", line)
        if told is None:
            break
        found.setdefault(told[1], []).append(told[2])
    return found


def main_file(path: Path) -> Path:
    """The file of a folder that says what it is."""
    return path if path.is_file() else next(p for p in sorted(path.rglob("*.py")) if described(p))


NAMES = sorted(path.name for path in ENTRIES.iterdir() if path.name != "__pycache__")
SLOW = [name for name in NAMES if "slow" in described(main_file(ENTRIES / name)).get("needs", [])]
MARKED = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NAMES]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of eight 16x16 colour images."""
    folder = tmp_path_factory.mktemp("strangers")
    return write_image_folder(folder / "imgs", {"a": 8, "b": 8}, size=(16, 16), color=True)


def brought(name: str, folder: Path) -> Path:
    """A copy of an entry, as the user has it: what is given as MODEL."""
    source, main = ENTRIES / name, main_file(ENTRIES / name)
    if source.is_file():
        return Path(shutil.copy(source, folder / name))
    shutil.copytree(source, folder / name)
    return folder / name if main.name == "__init__.py" else folder / name / main.relative_to(source)


def options_of(line: str) -> dict[str, Any]:
    """Options of the command line as the Python door takes them."""
    from hardener.cli.options import asked_arguments

    found: dict[str, Any] = {"settings": {}}
    words = shlex.split(line)
    given: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--replace-head":
            found["replace_head"] = True
        elif word == "--image-size":
            found["settings"]["data.image_size"] = words.pop(0)
        elif word == "--entry":
            found["entry"] = words.pop(0)
        elif word == "--root":
            found["root"] = words.pop(0)
        else:
            assert word == "--model-arg", f"a new option: {word}"
            given.append(words.pop(0))
    return {**found, "model_args": asked_arguments(given)}


def trained(model: Path, images: Path, folder: Path, options: Mapping[str, Any]) -> RunFolder:
    settings = {**QUICK, **options.get("settings", {})}
    rest = {key: value for key, value in options.items() if key != "settings"}
    return hardener.train(model, images, recipe="natural", settings=settings, out=folder, device="cpu", **rest)


def followed(name: str, images: Path, folder: Path) -> RunFolder | None:
    """Train an entry as its header says, by what is printed; None where it is refused."""
    model = brought(name, folder)
    expected = described(main_file(ENTRIES / name))["expect"]
    if expected[0].startswith("as typed"):
        run = trained(model, images, folder / "runs", {})
        wanted = expected[0].removeprefix("as typed").strip() or None
        assert run.read_record().model.entry == wanted
        return run
    with pytest.raises(HardenerError) as refusal:
        trained(model, images, folder / "runs", {})
    said = str(refusal.value)
    assert not list((folder / "runs").glob("*")), "what is refused leaves nothing behind"
    if expected[0].startswith("refused"):
        for text in expected:
            assert text.removeprefix("refused ").strip('"') in said, said
        return None
    pasted = expected[0].startswith("after pasting ")
    wanted = expected[0].removeprefix("after pasting " if pasted else "after ")
    assert wanted in said, said
    options: dict[str, Any] = {}
    if pasted:
        function = re.search(r"^def .*?(?=\n\n|\Z|^and pass )", said, re.S | re.M)
        assert function is not None, said
        model.write_text(f"{model.read_text()}\n\n{function[0]}\n")
        more = re.search(r"^and pass(.*)\.$", said, re.M)
        options = options_of(more[1] if more else "")
    else:
        first = next(line for line in said.splitlines() if wanted in line)
        assert first.strip().startswith(wanted) or "pass " in first.lower(), "the likeliest comes first"
        options = options_of(wanted)
    return trained(model, images, folder / "runs", options)


@pytest.mark.parametrize("name", MARKED)
def test_a_file_trains_as_typed_or_by_what_is_printed_and_opens_again(name: str, images: Path, tmp_path: Path) -> None:
    run = followed(name, images, tmp_path)
    if run is None:
        return
    for copied in (tmp_path / name, tmp_path / f"{name}.py"):
        if copied.is_dir():
            shutil.rmtree(copied)
        elif copied.is_file():
            copied.unlink()
    assert len(hardener.load(run).classes) == 2, "from the run's own copy"


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_what_trains_can_be_attacked_and_exported(name: str, images: Path, tmp_path: Path) -> None:
    run = followed(name, images, tmp_path)
    if run is None:
        pytest.skip("it is refused")
    found = hardener.evaluate(run, attacks=["fgsm"], samples=4, device="cpu")
    assert 0 <= found.robust_accuracy <= found.clean_accuracy <= 1
    assert hardener.export(run).classes == ["a", "b"]


def test_there_are_files_of_many_kinds() -> None:
    assert len(NAMES) >= 40
    kinds = {kind for name in NAMES for kind in described(main_file(ENTRIES / name))["kind"]}
    assert len(kinds) >= 15
