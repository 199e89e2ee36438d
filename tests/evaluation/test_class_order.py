"""The order of classes that are numbers, where a model from elsewhere is asked."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch
from oracles import TINY_MODEL, write_image_folder

from hardener.evaluation.subject import ForeignModel, foreign_subject
from hardener.progress import Silent


class Heard(Silent):
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


def test_numbers_as_classes_that_do_not_stand_by_size_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    torch.save(runpy.run_path(str(tmp_path / "tiny.py"))["build_model"](11).state_dict(), tmp_path / "tiny.pt")
    model = ForeignModel(str(tmp_path / "tiny.py"), tmp_path / "tiny.pt", "none")
    said = {}
    for name, width in (("plain", 1), ("padded", 2)):
        write_image_folder(tmp_path / name, {str(number).zfill(width): 2 for number in range(11)})
        heard = Heard()
        subject = foreign_subject(model, tmp_path / name, heard)
        said[name] = [line for line in heard.warned if "order of the model's outputs" in line]
        assert len(subject.classes) == 11
    assert said["padded"] == []
    assert "in the order 0, 1, 10, 2, …" in said["plain"][0]
    assert "in 2 digits, such as 00" in said["plain"][0]
