"""--quiet, --log-format and --debug, which every command has; the examples of every command's help."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from hardener import terminal
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


def test_without_a_terminal_a_line_comes_now_and_then_though_nothing_moves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = threading.Event()

    def say(self: terminal.RichReporter, text: str) -> None:
        lines.append(text)
        said.set()

    lines: list[str] = []
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0.01)
    monkeypatch.setattr(terminal.RichReporter, "say", say)
    with reporter().track("training", 60_000, "images") as advance:
        said.wait(60)
        advance(30_000)
        said.clear()
        said.wait(60)
        said.clear()
        said.wait(60)
    assert lines[0].startswith("training: 0 of 60,000 images after 0 s")
    assert lines[-1].startswith("training: 30,000 of 60,000 images after ")
    assert lines[-1].endswith(" left")
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_a_table_that_does_not_fit_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("attack", "settings", "left", title="on [bold]4[/] images")
    table.add_row("pgd", "steps 20", "[green]12.5 %[/]")
    table.add_row("square", "", Text("[1]"))
    type(terminal.out)(width=20).print(table)
    assert capsys.readouterr().out.splitlines() == [
        "on 4 images", "pgd", "  settings: steps 20", "  left: 12.5 %", "square", "  left: [1]"
    ]  # fmt: skip


def test_a_reader_that_went_away_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "err", type(terminal.err)(stderr=True))
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as gone:
        monkeypatch.setattr(sys, "stderr", gone)
        speak()
        monkeypatch.setenv("HARDENER_LOG_FORMAT", "json")
        speak()
        monkeypatch.undo()
        with contextlib.suppress(BrokenPipeError):
            gone.close()


def test_libraries_are_silent_unless_debugging(tmp_path: Path) -> None:
    noisy = (
        "import sys, warnings, logging; from hardener.cli.console import silence_libraries; silence_libraries(); "
        "warnings.warn('for programmers'); logging.getLogger('onnx').warning('for programmers')"
    )
    for words, told in (([], 0), (["--debug"], 2)):
        done = subprocess.run([sys.executable, "-c", noisy, *words], capture_output=True, text=True, check=True)
        assert done.stderr.count("for programmers") >= told
        assert told or not done.stderr
