"""Names of classes that hold a comma, where they stand in a list."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.data_findings import DataFound, SplitFound
from hardener.config.evaluation_record import PerClass
from hardener.data.ambiguity import some
from hardener.reports.by_class import few_images
from hardener.words import listed


def test_they_are_quoted_and_others_are_not() -> None:
    assert listed(["2", "a, b", "c;d", "it's"]) == '2, "a, b", "c;d", it\'s'
    assert listed(["a", "b", "c"], 2) == "a, b"
    assert some({"b", "a, z"}) == '"a, z", b'


def test_they_are_quoted_in_what_is_said_of_data_and_of_classes() -> None:
    found = DataFound(kind="folder", splits={"train": SplitFound(source="x", classes={"a, b": 3, "c": 1, "d, e": 0})})
    told = dict(found.rows())
    assert any('"a, b" 3, c 1, "d, e" 0' in words for words in told.values())
    assert any('no image of "d, e"' in words for words in told.values())
    rows = [PerClass(name=name, samples=n, clean_accuracy=1, robust_accuracy=1) for name, n in (("a, b", 3), ("c", 99))]
    assert few_images(rows).startswith('Very few images: "a, b" (3).')


def test_they_are_quoted_in_the_line_of_a_trained_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(TINY_MODEL)
    write_image_folder(Path("d"), {"2": 12, "a, b": 12})
    found = CliRunner().invoke(app, ["train", "net.py", "--data", "d", "--recipe", "natural", "--epochs", "1"])
    (line,) = [line for line in found.output.splitlines() if line.startswith("clean by class: ")]
    assert '"a, b" ' in line
