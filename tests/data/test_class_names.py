"""Names of classes that no bundle takes: said when the data is read, not after the training."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles import write_image_folder
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.data.class_names import refuse_unserved
from hardener.errors import HardenerError


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["cat", "x" * 1001], "has 1,001 characters, and at most 1,000 can be exported"),
        (["cat", "\x1b" * 251], "has 1,004 characters"),
        (["a\tb", "a\\tb"], r"the names of two classes, 'a\tb' and 'a\\tb', look alike"),
        (["cat", " "], "' ' is the name of a class and shows nothing"),
    ],
)
def test_what_no_bundle_takes_is_refused(names: list[str], said: str) -> None:
    with pytest.raises(HardenerError) as error:
        refuse_unserved(names)
    assert said in str(error.value)
    refuse_unserved(["cat", "dog\t", "x" * 1000])


@pytest.mark.parametrize("command", ["train", "inspect"])
def test_a_command_that_reads_data_refuses_them(command: str, tmp_path: Path, model_file: Path) -> None:
    root = write_image_folder(tmp_path / "d", {"a\tb": 8, "a\\tb": 8})
    words = ["train", str(model_file), "--data", str(root)] if command == "train" else ["inspect", str(root)]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 2, found.output
    assert "look alike wherever they are shown" in found.stderr
