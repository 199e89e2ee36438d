"""What names of files and classes may do to a terminal: nothing but be read."""

from __future__ import annotations

import io
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


def test_an_error_tells_an_odd_name_visibly(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    found = CliRunner().invoke(app, ["serve", str(folder)])
    assert found.exit_code == 2
    assert r"a\x1b[2Jb" in found.stderr
    assert "\x1b[2J" not in found.output
