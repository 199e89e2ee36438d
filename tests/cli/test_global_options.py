"""--quiet, --log-format and --debug, which every command has; the examples of every command's help."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hardener.cli.app import COMMANDS, _options_first, app
from hardener.cli.console import reporter
from hardener.cli.examples import EXAMPLES
from hardener.progress import EpochMetrics

METRICS = EpochMetrics(
    epoch=1, loss=1.5, clean_accuracy=0.5, robust_accuracy=0.25, target_mass=1.0, beta_min=None, beta_max=None,
    learning_rate=0.1, images_per_s=10.0, seconds=2.0, waiting=0.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def speaks_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HARDENER_QUIET", "HARDENER_DEBUG", "HARDENER_LOG_FORMAT"):
        monkeypatch.setenv(name, "")  # so that what a command sets goes with the test


def speak() -> None:
    teller = reporter()
    teller.say("a fact")
    teller.warn("a warning")
    with teller.track("work", 10, "images") as done:
        done(10)
    teller.epoch(METRICS, epochs=3, is_best=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("eval --quiet RUN", "--quiet eval RUN"),
        ("train M --log-format json --data D --debug", "--log-format json --debug train M --data D"),
        ("train M --log-format=json", "--log-format=json train M"),
        ("predict -- --quiet", "predict -- --quiet"),
    ],
)
def test_they_may_stand_anywhere(words: str, expected: str) -> None:
    assert _options_first(words.split()) == expected.split()


def test_quiet_leaves_warnings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDENER_QUIET", "1")
    speak()
    assert capsys.readouterr().err == "warning: a warning\n"


def test_as_json_each_line_is_an_object(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDENER_LOG_FORMAT", "json")
    speak()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line.get("event", line.get("message"))) for line in lines] == [
        ("info", "a fact"),
        ("warning", "a warning"),
        ("info", "progress"),
        ("info", "epoch"),
    ]
    assert (lines[3]["loss"], lines[3]["best"], lines[2]["done"]) == (1.5, True, 10)


def test_errors_are_objects_too() -> None:
    found = CliRunner().invoke(app, ["--log-format", "json", "eval", "nowhere"])
    assert found.exit_code == 2
    line = json.loads(found.stderr)
    assert (line["level"], "nowhere does not exist" in line["message"]) == ("error", True)


def test_an_unknown_format_is_refused() -> None:
    found = CliRunner().invoke(app, ["--log-format", "xml", "recipes"])
    assert found.exit_code == 2
    assert "'xml' is not one of" in found.output


def test_every_command_has_examples_and_every_example_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens").write_text("")  # the one file that must be there for its command to parse
    assert set(EXAMPLES) == set(COMMANDS)
    command = typer.main.get_command(app)
    for name, examples in EXAMPLES.items():
        for example in examples:
            first, *words = shlex.split(example)
            assert (first, words[0]) == ("hardener", name)
            sub = command.commands[name]  # type: ignore[attr-defined]
            sub.make_context(name, words[1:])  # raises where an option or a value is not known


def test_examples_stand_in_the_help() -> None:
    found = CliRunner().invoke(app, ["eval", "--help"], env={"COLUMNS": "120"})
    assert "hardener eval runs/NAME --suite standard --samples 500" in found.output


def test_completion_is_offered() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output
