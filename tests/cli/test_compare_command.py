"""`hardener compare` as a user types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from run_folders import bits, write_evaluation, write_run
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.reports.comparison_record import Comparison


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two evaluated runs, as the current folder would hold it."""
    monkeypatch.chdir(tmp_path)
    for name, right in (("natural", 10), ("[sprout]", 40)):
        write_evaluation(write_run(tmp_path / "runs", name), bits(90, 100), bits(right, 100))
    return tmp_path / "runs"


def test_it_prints_a_table_and_writes_chart_page_and_json(runs: Path) -> None:
    found = hardener("compare", "natural", "[sprout]", "--json", "c.json")
    assert found.exit_code == 0, found.output
    for text in ("2 runs on the same images of the test split", "linf 8/255, n = 100", "[sprout]", "40.0 %", "+30.0"):
        assert text in found.stdout
    assert "McNemar's exact test" in found.stdout
    assert "written: compare/compare.html and compare/compare.png" in found.stdout
    assert {path.name for path in Path("compare").iterdir()} == {"compare.html", "compare.png"}
    written = Comparison.model_validate(json.loads(Path("c.json").read_text()))
    assert [run.name for run in written.runs] == ["natural", "[sprout]"]
    assert all(ord(letter) < 128 or letter in "–−…─━ℓ∞" for letter in found.stdout)


def test_the_chart_may_go_elsewhere_and_runs_may_lie_elsewhere(runs: Path, tmp_path: Path) -> None:
    found = hardener("compare", runs / "natural", "[sprout]", "--out", runs, "--to", tmp_path / "a" / "b")
    assert found.exit_code == 0, found.output
    assert (tmp_path / "a" / "b" / "compare.png").is_file()
    assert not Path("compare").exists()


def test_mistakes_are_one_clear_error(runs: Path, tmp_path: Path) -> None:
    for message, words in (
        ("name two runs or more: hardener compare RUN RUN", []),
        ("name two runs or more", ["natural"]),
        ("nowhere does not exist. Runs are made by `hardener train`", ["natural", "nowhere"]),
        ("natural is named twice", ["natural", runs / "natural"]),
        ("no such folder: none, for --json none/c.json", ["natural", "[sprout]", "--json", "none/c.json"]),
    ):
        found = hardener("compare", *words)
        assert found.exit_code == 2, found.output
        assert found.stderr.startswith("error: ")
        assert message in found.stderr
    write_run(tmp_path / "runs", "fresh")
    found = hardener("compare", "natural", "fresh")
    assert found.exit_code == 2
    (command,) = re.findall("Run `(hardener eval .*)`", found.stderr)
    assert hardener(*command.split()[1:], "--help").exit_code == 0, "a command that hardener takes"
    assert not Path("compare").exists(), "nothing is written before all is well"
