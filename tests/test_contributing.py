"""CONTRIBUTING.md, followed word by word in a copy of the house: each of its examples works as it stands there.

In a section "Add …" a block `python FILE` is a new file. `python FILE NAME` is what is to be added at the end of NAME,
a dict, list, tuple or set at the top of FILE, or where NAME is `import` to its imports. `text FILE` lies in the
reader's own folder, and a block `sh` is what the reader then types.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("hardener", "serving", "recipes", "tests", "examples", "pyproject.toml", "docs/flags.md")
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (Add [^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
FOLLOW = """
import json, os, sys
from pathlib import Path
import pytest
from typer.testing import CliRunner
from hardener.cli.app import app

house, user = map(Path, sys.argv[1:3])
found = {}
for title, commands in json.loads(sys.argv[3]).items():
    found[title] = []
    for words in commands:
        if words[0] == "pytest":
            os.chdir(house)
            code, said = int(pytest.main([*words[1:], "-q", "-p", "no:cacheprovider"])), ""
        else:
            os.chdir(user)
            result = CliRunner().invoke(app, words[1:])
            code, said = result.exit_code, result.output + repr(result.exception or "")
        found[title].append([" ".join(words), code, said])
print("FOUND " + json.dumps(found))
"""


def blocks(section: str) -> Iterator[tuple[list[str], str]]:
    """Yield each fenced block of a section: the words after its fence, and its text."""
    for indent, info, text in re.findall(r"^( *)```([^\n]*)\n(.*?)^ *```$", section, re.M | re.S):
        yield info.split(), re.sub(rf"^{indent}", "", text, flags=re.M)


def commands(section: str) -> list[list[str]]:
    """Return what a section tells its reader to type."""
    texts = [text for words, text in blocks(section) if words == ["sh"]]
    return [shlex.split(line, comments=True) for text in texts for line in text.splitlines() if line.strip()]


def apply(section: str, house: Path, user: Path) -> None:
    """Write the files of a section, and add its lines to the files that it names."""
    for words, text in blocks(section):
        if words[0] == "text":
            (user / words[1]).write_text(text, encoding="utf-8")
        elif words[0] == "python" and len(words) == 2:
            assert not (house / words[1]).exists(), f"{words[1]} is there already"
            (house / words[1]).write_text(text, encoding="utf-8")
        elif words[0] == "python":
            path = house / words[1]
            path.write_text(with_lines(path.read_text(encoding="utf-8"), words[2], text), encoding="utf-8")


def with_lines(before: str, name: str, added: str) -> str:
    """Return a file's text with lines added at the end of its imports, or of what it calls `name`."""
    if name == "import":
        end = [found.end() for found in re.finditer(r"^(?:from|import) [^\n(]*\n", before, re.M)][-1]
    else:
        found = re.search(rf"^{name}\b[^\n]*[\[({{]\n(?:.*?\n)?(?=^[\])}}])", before, re.M | re.S)
        assert found, f"there is no {name} of several lines"
        end, added = found.end(), "".join(f"    {line}\n" for line in added.splitlines())
    return before[:end] + added + before[end:]


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, int, str]]]:
    """Follow all sections in one copy of the house, in one process, and return what each command came to."""
    house, user = tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("user")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, house / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (house / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, house / name)
    for section in SECTIONS.values():
        apply(section, house, user)
    (user / "model.py").write_text(TINY_MODEL)
    write_image_folder(user / "imgs", {"cat": 12, "dog": 12})
    train = shlex.split("hardener train model.py --data imgs --epochs 1 --recipe natural --name NAME")
    asked = {"a run to try things on": [train]} | {title: commands(text) for title, text in SECTIONS.items()}
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW, str(house), str(user), json.dumps(asked)],
        cwd=user,
        env=os.environ | {"PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
    )
    report = re.search(r"^FOUND (.*)$", done.stdout, re.M)
    assert report, done.stdout + done.stderr
    found: dict[str, list[tuple[str, int, str]]] = json.loads(report[1])
    for title, results in found.items():
        for words, code, said in results:
            print(f"{title}: {words} -> {code}\n{said if code else ''}")
    print(done.stdout, done.stderr)
    return found


def test_there_is_an_example_of_each_thing_that_is_one_file_and_one_line() -> None:
    things = (
        "an attack",
        "a measure",
        "a method",
        "a vicinity",
        "an augmentation",
        "a norm",
        "a threat",
        "a data source",
        "an endpoint",
    )
    assert [title for title in SECTIONS if title.startswith("Add ")] == [f"Add {thing}" for thing in things]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("title", SECTIONS)
def test_the_example_works_as_it_stands(title: str, followed: dict[str, list[tuple[str, int, str]]]) -> None:
    assert followed["a run to try things on"][0][1] == 0, followed["a run to try things on"]
    assert followed[title], "the section says nothing to run"
    for words, code, said in followed[title]:
        assert code == 0, f"{words}\n{said}"


@pytest.mark.parametrize("title", SECTIONS)
def test_the_example_touches_one_new_file_and_one_other(title: str) -> None:
    files = [words for words, _ in blocks(SECTIONS[title]) if words[0] == "python"]
    assert len([words for words in files if len(words) == 2]) == 1
    assert len({words[1] for words in files if len(words) == 3}) == 1
