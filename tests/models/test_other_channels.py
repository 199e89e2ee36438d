"""Weights of a network that takes another number of channels than the images have."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli.app import app

QUICK = ("--recipe", "natural", "--epochs", "1")


def train(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)])


@pytest.mark.parametrize(("file_has", "images_have"), [(1, 3), (3, 1)])
def test_the_line_with_the_channels_of_the_file_is_named_and_works(
    file_has: int, images_have: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(TINY_MODEL)
    for channels in (1, 3):
        write_image_folder(Path(f"d{channels}"), {"cat": 12, "dog": 12}, color=channels == 3)
    write_image_folder(Path(f"d{images_have}"), {"owl": 12}, color=images_have == 3)
    assert train("net.py", "--data", f"d{file_has}", *QUICK, "--name", "first").exit_code == 0
    again = ("net.py", "--data", f"d{images_have}", "--init", "runs/first/model.safetensors", *QUICK)
    found = train(*again, "--ignore", "owl")
    assert found.exit_code == 2
    assert f"Pass --set data.channels={file_has}: the images are then " in found.output
    assert "another architecture" not in found.output
    assert train(*again, "--ignore", "owl", "--set", f"data.channels={file_has}").exit_code == 0
    with_head = train(*again)
    (options,) = re.findall(r"Pass (--set data\.channels=\d --replace-head): ", with_head.output)
    assert train(*again, *shlex.split(options)).exit_code == 0


def test_what_differs_in_more_than_channels_is_another_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(TINY_MODEL)
    Path("wide.py").write_text(TINY_MODEL.replace("6", "8").replace("24", "32"))
    for channels in (1, 3):
        write_image_folder(Path(f"d{channels}"), {"cat": 12, "dog": 12}, color=channels == 3)
    assert train("net.py", "--data", "d1", *QUICK, "--name", "first").exit_code == 0
    found = train("wide.py", "--data", "d3", "--init", "runs/first/model.safetensors", *QUICK)
    assert "Is it of another architecture?" in found.output
    assert "data.channels" not in found.output
