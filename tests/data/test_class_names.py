"""Names of classes that no bundle takes: said when the data is read, not after the training."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from oracles import write_image_folder
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.data.class_names import refuse_unserved
from hardener.data.data_set import read_data_set
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


@pytest.mark.parametrize("spelled", ["cats|DOGS", "cats_test|dogs-test"])
def test_names_of_a_split_that_mean_those_of_train_are_moved_by_the_line(spelled: str, tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "d" / "train", {"Cats": 8, "Dogs": 8}).parent
    write_image_folder(root / "test", dict.fromkeys(spelled.split("|"), 4))
    with pytest.raises(HardenerError, match="mv ") as error:
        read_data_set(root)
    moves = str(error.value).rpartition(": mv ")[2].removesuffix(".")
    subprocess.run(["bash", "-c", f"mv {moves}"], check=True)
    found = read_data_set(root)
    assert found.classes == ("Cats", "Dogs")
    assert len(found.splits["test"]) == 8


@pytest.mark.parametrize("command", ["train", "inspect"])
def test_a_command_that_reads_data_refuses_them(command: str, tmp_path: Path, model_file: Path) -> None:
    root = write_image_folder(tmp_path / "d", {"a\tb": 8, "a\\tb": 8})
    words = ["train", str(model_file), "--data", str(root)] if command == "train" else ["inspect", str(root)]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 2, found.output
    assert "look alike wherever they are shown" in found.stderr


def test_numbers_in_one_split_and_names_in_another_are_said_to_be_so(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "d" / "train", {"benign": 8, "malignant": 8}).parent
    write_image_folder(root / "test", {"0.0": 4, "1.0": 4})
    with pytest.raises(HardenerError, match="One has numbers for classes, and the other names"):
        read_data_set(root)
