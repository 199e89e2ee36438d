"""What names of files and classes may do to a terminal: nothing but be read."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.terminal import RichReporter, _Folding

NAME = "cat\x1b[2J\x1b]0;t\x07\u202e\x9b"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_name_cannot_steer_the_terminal(terminal: bool) -> None:
    file = io.StringIO()
    console = _Folding(file=file, force_terminal=terminal, width=100, highlight=False)
    reporter = RichReporter()
    reporter._console = console
    table = Table("class")
    table.add_row(Text(NAME))
    console.print(table)
    console.print(f"[bold]{NAME}[/]")
    console.print(Text(f"{NAME}\nsecond line"), soft_wrap=True)
    reporter.show("found", [("class", NAME)])
    with reporter.track(NAME, 2, "images") as advance:
        advance(2)
    reporter.warn(NAME)
    written = file.getvalue()
    assert written.count(r"cat\x1b[2J\x1b]0;t") >= 5
    assert "\nsecond line" in written
    assert ("\x1b[1m" in written) == terminal  # rich's own
    for odd in ("\x1b[2J\x1b]", "\x1b]", "\x07", "\u202e", "\x9b", "cat\x1b"):
        assert odd not in written


def test_a_name_between_colons_stays_a_name() -> None:
    file = io.StringIO()
    console = _Folding(file=file, width=100)
    console.print("runs/a:cat:b")
    console.print(Table("runs/a:dog:b"))
    assert "runs/a:cat:b" in file.getvalue()
    assert "runs/a:dog:b" in file.getvalue()


def test_an_error_tells_an_odd_name_visibly(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    found = CliRunner().invoke(app, ["serve", str(folder)])
    assert found.exit_code == 2
    assert r"a\x1b[2Jb" in found.stderr
    assert "\x1b[2J" not in found.output


def test_a_terminal_of_twenty_columns_breaks_lines_between_words_and_no_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = _Folding(file=file, force_terminal=True, width=20, highlight=False)
    table = Table("class", "images", caption="* drawn by the seed")
    table.add_row("cat", "sixty thousand of them")
    console.print(table)
    console.print(Text("the worst case over two attacks, image by image", style="red"), soft_wrap=True)
    console.print("next: hardener eval runs/first --attack pgd", soft_wrap=True)
    assert set(re.findall(r"\x1b\[(\d+)m", file.getvalue())) <= {"0", "2"}, "dim and no colour"
    lines = re.sub(r"\x1b\[\d+m", "", file.getvalue()).splitlines()
    told = "cat images: sixty thousand of them * drawn by the seed the worst case over two attacks, image by image"
    assert " ".join(" ".join(lines[:-1]).split()) == told
    assert max(map(len, lines[:-1])) <= 20
    assert lines[-1] == "next: hardener eval runs/first --attack pgd"


def test_a_narrow_terminal_shows_the_command_in_a_message_on_a_line_of_its_own() -> None:
    file = io.StringIO()
    console = _Folding(file=file, force_terminal=True, width=20, highlight=False, color_system=None)
    command = "hardener eval runs/second --suite quick"
    told = f"error: runs/second has not been evaluated. Run `{command}`. Or evaluate all of them, with --data DIR."
    console.print(Text(told), soft_wrap=True)
    lines = file.getvalue().splitlines()
    assert command in lines
    lines.remove(command)
    assert max(map(len, lines)) <= 20
    assert " ".join(" ".join(lines).split()) == told.replace(f" `{command}`.", "")
    wide = io.StringIO()
    _Folding(file=wide, force_terminal=True, width=80, color_system=None).print(Text(told), soft_wrap=True)
    assert wide.getvalue() == told + "\n"
