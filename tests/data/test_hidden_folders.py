"""Folders that a dot hides: somebody's class among them is named, and what programs make is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from oracles import write_image_folder
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.data.tree import DOTTED, walk


def told(root: Path, *patterns: str) -> list[str]:
    return walk(root, patterns).left_out.get(DOTTED, [])


def test_a_hidden_folder_of_images_beside_classes_is_named_by_inspect_and_train(
    image_folder: Path, model_file: Path, tmp_path: Path
) -> None:
    write_image_folder(image_folder, {"..x": 5})
    said = "1 folder of images that a dot hides (..x)"
    assert said in CliRunner().invoke(app, ["inspect", str(image_folder)]).output
    quick = ["--recipe", "natural", "--epochs", "1", "--out", str(tmp_path / "runs")]
    assert said in CliRunner().invoke(app, ["train", str(model_file), "--data", str(image_folder), *quick]).output


def test_it_is_named_in_a_split_and_in_an_archive(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_image_folder(tmp_path / "d" / split, {"cat": 3, "dog": 3, ".third": 3})
    assert told(tmp_path / "d") == ["train/.third", "val/.third"]
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "d")
    assert "2 folders of images that a dot hides (train/.third, val/.third)" in (
        CliRunner().invoke(app, ["inspect", archive]).output
    )


@pytest.mark.parametrize(
    "name",
    [
        ".git",
        ".ipynb_checkpoints",
        ".cache",
        ".thumbnails",
        ".Trash-1000",
        ".Trashes",
        ".venv",
        ".DS_Store",
        ".@__thumb",
    ],
)
def test_what_programs_make_is_passed_over_in_silence(name: str, image_folder: Path) -> None:
    write_image_folder(image_folder, {name: 3})
    assert told(image_folder) == []


def test_what_the_user_named_what_holds_no_images_and_what_lies_beside_no_class_is_not_told(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "d", {"cat": 3, ".x": 3})
    assert told(root) == [".x"]
    assert told(root, ".x") == []
    (root / ".notes").mkdir()
    (root / ".notes" / "a.txt").write_text("text")
    assert told(root) == [".x"]
    shutil.rmtree(root / "cat")
    (root / "a.png").write_bytes(b"")
    assert told(root) == []
