"""`hardener gate` as a user or a CI job types it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from run_folders import bits, write_evaluation, write_run
from typer.testing import CliRunner, Result

from hardener.cli.app import app


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two evaluated runs: `new` is the newest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    old, new = (write_run(tmp_path / "runs", name, seed=seed) for seed, name in enumerate(("old", "new")))
    write_evaluation(old, bits(95, 100), bits(50, 100))
    write_evaluation(new, bits(90, 100), bits(40, 100))
    return tmp_path


def test_it_passes_with_exit_code_0(home: Path) -> None:
    found = hardener("gate", "--min", "clean=0.80", "--min", "linf-8/255=0.30", "--junit", "j.xml", "--summary", "s.md")
    assert found.exit_code == 0, found.output
    assert "holds  --min clean=0.80: clean accuracy: 90.0 %, 95 % interval" in found.stdout
    assert "gate: runs/new passes: all 2 conditions hold" in found.stdout
    assert ElementTree.parse(home / "j.xml").getroot().get("failures") == "0"
    assert "all conditions hold" in Path("s.md").read_text()


def test_it_fails_with_exit_code_1_and_says_what_was_found_and_needed(home: Path) -> None:
    found = hardener(
        "gate", "new", "--min", "linf-0.0313725=0.40", "--max-drop", "clean=0.02", "--against", "old",
        "--junit", "j.xml", "--summary", "s.md",
    )  # fmt: skip
    assert found.exit_code == 1, found.output
    assert "failed --min linf-0.0313725=0.40: robust accuracy under linf 0.0313725: 40.0 %" in found.stdout
    assert "needed: a lower end of at least 40.0 %" in found.stdout
    assert "failed --max-drop clean=0.02: clean accuracy: fell by 5.0 points, from 95.0 % to 90.0 %" in found.stdout
    assert "gate: runs/new does not pass: 2 of 2 conditions failed" in found.stdout
    assert ElementTree.parse(home / "j.xml").getroot().get("failures") == "2"
    assert "2 of 2 conditions failed" in Path("s.md").read_text()


def test_mistakes_exit_with_2_and_write_nothing(home: Path) -> None:
    for message, words in (
        ("nothing to hold the run to", []),
        ("unknown measure 'clear'", ["--min", "clear=0.5"]),
        ("Did you mean 0.8?", ["--min", "clean=80"]),
        ("--max-drop needs --against RUN", ["--max-drop", "clean=0.1"]),
        ("--against is for --max-drop", ["--min", "clean=0.1", "--against", "old"]),
        ("--against names runs/new itself", ["--max-drop", "clean=0.1", "--against", "new"]),
        ("nowhere does not exist", ["nowhere", "--min", "clean=0.1"]),
        ("nowhere does not exist", ["--max-drop", "clean=0.1", "--against", "nowhere"]),
        ("no trained run below", ["--min", "clean=0.1", "--out", "none"]),
        ("no such folder: none, for --junit none/j.xml", ["--min", "clean=0.1", "--junit", "none/j.xml"]),
        ("no such folder: none, for --summary none/s.md", ["--min", "clean=0.1", "--summary", "none/s.md"]),
    ):
        found = hardener("gate", *words, *([] if "none" in message else ["--junit", "j.xml"]))
        assert found.exit_code == 2, found.output
        assert found.stderr.startswith("error: ")
        assert message in found.stderr
    assert not Path("j.xml").exists()


REQUIREMENTS = """
requirements:
  - measure: clean
    min: 0.80
    why: a wrong class sends a parcel back
  - {measure: linf-8/255, min: 0.60, max-drop: 0.5}
"""


def test_a_file_of_requirements_fails_and_passes_and_is_found_in_the_run(home: Path) -> None:
    Path("asked.yaml").write_text(REQUIREMENTS)
    found = hardener("gate", "--requirements", "asked.yaml", "--against", "old")
    assert found.exit_code == 1, found.output
    assert "holds  number 1 of asked.yaml, min clean=0.8:" in found.stdout
    assert "failed number 2 of asked.yaml, min linf-8/255=0.6:" in found.stdout
    assert "holds  number 2 of asked.yaml, max-drop linf-8/255=0.5:" in found.stdout
    assert "--min" not in found.stdout  # nobody typed it
    found = hardener("gate", "--requirements", "asked.yaml")
    assert "number 2 of asked.yaml, max-drop linf-8/255=0.5: needs --against RUN" in found.stderr
    Path("runs/new/requirements.yaml").write_text(REQUIREMENTS.replace("0.60, max-drop: 0.5", "0.20"))
    found = hardener("gate")
    assert found.exit_code == 0, found.output
    assert "all 2 conditions hold" in found.stdout
    assert re.search(r"holds  number 1 of \S*requirements.yaml, min clean=0.8:", found.stdout)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "requirements:\n- {measure: clean, mim: 0.8}",
            "number 1 of requirements: unknown key 'mim'. Did you mean 'min'?",
        ),
        (
            "requirements:\n- {measure: clean, min: 0.8}\nmin: 0.8",
            "unknown key 'min'. Did you mean 'requirements.min'?",
        ),
        (
            "requirements:\n- {measure: clean, min: 0.8, requirements: 1}",
            "number 1 of requirements: unknown key 'requirements'. It belongs at the top of the file.",
        ),
        ("requirements:\n- {measure: clean}", "number 1 asks for nothing"),
        ("requirements:\n- {min: 0.8}", "number 1 of requirements: measure: is missing"),
        ("requirements: []", "at least 1 item"),
        ("requirement:\n- {measure: clean, min: 0.8}", "Did you mean 'requirements'?"),
        ("requirements:\n- {measure: clear, min: 0.8}\n- {measure: clean, min: 80}", "unknown measure 'clear'"),
        ("requirements:\n- {measure: clear, min: 0.8}\n- {measure: clean, min: 80}", "number 2: min: 80: a share"),
        ("requirements:\n- {measure: linf-4/255, min: 0.1}", "has no robust accuracy under linf 4/255"),
        ("- clean", "must hold `key: value` lines"),
        (None, "no requirements file asked.yaml"),
    ],
)
def test_a_bad_file_of_requirements_is_told_and_nothing_is_written(home: Path, text: str | None, message: str) -> None:
    if text is not None:
        Path("asked.yaml").write_text(text)
    found = hardener("gate", "--requirements", "asked.yaml", "--junit", "j.xml")
    assert found.exit_code == 2, found.output
    assert message in found.stderr
    assert not Path("j.xml").exists()


@pytest.mark.parametrize("measure", ["linf-4/255", "l2-0.5", "corruptions", "certified-0.5"])
def test_what_was_not_measured_exits_with_2_and_a_command_that_hardener_takes(home: Path, measure: str) -> None:
    found = hardener("gate", "--min", f"{measure}=0.5")
    assert found.exit_code == 2, found.output
    (command,) = re.findall("Run `(hardener eval .*)`", found.stderr)
    assert hardener(*command.split()[1:], "--help").exit_code == 0, command


@pytest.mark.parametrize(
    "words", [["compare", "--help"], ["dossier", "--help"], ["gate", "--min", "clean=0.5"], ["dossier"]]
)
def test_it_starts_without_torch_and_matplotlib(home: Path, words: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['hardener', *sys.argv[1:]]\n"
        "from hardener.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "loaded = {'torch', 'torchvision', 'matplotlib', 'onnx', 'scipy'} & set(sys.modules); assert not loaded, loaded"
    )
    command = [sys.executable, "-c", code, *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert found.returncode == 0, found.stderr
