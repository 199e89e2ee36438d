"""Answers of several people to the same images, in columns or folders: refused, with what to type."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from test_tables_beside import fill, numbered, read_as_advised
from trees import refused, write

from hardener.config.reading import Reading
from hardener.data.data_set import read_data_set
from hardener.errors import HardenerError

COLUMNS = [
    "label_1,label_2", "annotator1,annotator2", "rater_a,rater_b", "label,label2", "reader1_label,reader2_label",
    "doctor A,doctor B", "label_expert1,label_expert2",
]  # fmt: skip


@pytest.mark.parametrize("cells", ["be,ma", "0,1"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_columns_of_several_are_refused_and_the_line_takes_one(columns: str, cells: str, tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    told = cells.split(",")
    rows = [f"{number:03}.png,{told[number % 2]},{told[number // 2 % 2]}" for number in range(24)]
    write(tmp_path / "t.csv", f"image,{columns}", *rows)
    text = refused(tmp_path)
    if cells == "be,ma" or "label_1" not in columns:
        assert "look like answers of several" in text
        assert read_as_advised(text).classes == tuple(told)
    with pytest.raises(HardenerError, match="--label-column"):
        read_data_set(tmp_path / "t.csv")


def test_what_came_of_several_answers_is_the_class_and_finer_classes_are_no_second_answer(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    rows = [f"{number:03}.png,{'ab'[number // 2 % 2]},a,{'ab'[number % 2]}" for number in range(24)]
    write(tmp_path / "t.csv", "image,rater1,rater2,label", *rows)
    assert read_data_set(tmp_path).classes == ("a", "b")
    rows = [f"{number:03}.png,{'ab'[number % 2]},{'wxyz'[number % 4]}" for number in range(24)]
    write(tmp_path / "t.csv", "image,label,label2", *rows)
    assert read_data_set(tmp_path).classes == ("a", "b")


@pytest.mark.parametrize(
    "names", ["ground_truth_1,ground_truth_2", "annotator1,annotator2", "rater_a,rater_b", "GT0,GT1"]
)
@pytest.mark.parametrize("beside", [(), ("image",)])
def test_folders_of_several_are_refused_and_the_lines_work(names: str, beside: tuple[str, ...], tmp_path: Path) -> None:
    folders = [*names.split(","), *beside]
    fill(tmp_path, *(name for folder in folders for name in numbered(folder, 0, 10)))
    assert "called like answers of several to the same images" in refused(tmp_path)
    assert len(read_data_set(tmp_path, reading=Reading(class_depth=1)).classes) == len(folders)


def test_class_folders_below_answers_of_several_are_those_of_one(tmp_path: Path) -> None:
    folders = [f"{who}/{kind}" for who in ("ground_truth_1", "ground_truth_2") for kind in ("benign", "malignant")]
    fill(tmp_path, *(name for folder in folders for name in numbered(folder, 0, 10)))
    words = shlex.split(refused(tmp_path).partition("Take those of one: ")[2].partition(". If")[0])
    assert read_data_set(Path(words[1])).classes == ("benign", "malignant")


@pytest.mark.parametrize(
    "names", ["rater,annotator", "grade_1,grade_2", "label_1,label_2", "GT3,GT4", "doctor,nurse", "reader,expert_2"]
)
def test_folders_with_such_words_in_their_names_are_classes(names: str, tmp_path: Path) -> None:
    fill(tmp_path, *(name for place, folder in enumerate(names.split(",")) for name in numbered(folder, place, 10)))
    assert len(read_data_set(tmp_path).classes) == 2
