"""What a conversion calls classes and splits, and what it says of what it passes over."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_conversions import COLORS, example, picture, record
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.data.data_set import read_data_set


def converted(source: Path, target: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["convert", str(source), str(target)])
    return result.exit_code, " ".join(result.output.split())


def arrays(folder: Path, labels: list[object]) -> Path:
    np.save(folder / "images.npy", np.arange(len(labels) * 16, dtype=np.uint8).reshape(-1, 4, 4))
    np.save(folder / "labels.npy", np.array(labels))
    return folder


def test_classes_that_are_numbers_keep_their_order(tmp_path: Path) -> None:
    code, said = converted(arrays(tmp_path, [*range(11)] * 3), tmp_path / "to")
    assert code == 0
    assert "00 3, 01 3" in said
    assert read_data_set(tmp_path / "to").classes == tuple(f"{number:02}" for number in range(11))


@pytest.mark.parametrize("names", [("a/b", "a_b"), (".cat", "cat")])
def test_two_classes_that_would_share_a_folder_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    code, said = converted(arrays(tmp_path, [*names] * 4), tmp_path / "to")
    assert code == 2
    assert f"has the classes '{names[0]}' and '{names[1]}', and both would be the folder {names[1]}. Give" in said


def test_a_file_of_no_known_split_beside_those_of_splits_is_refused(tmp_path: Path) -> None:
    for name in ("train", "test", "extra"):
        data = b"".join(record(example(picture(), label)) for label in (0, 1))
        (tmp_path / f"{name}.tfrecord").write_bytes(data)
    code, said = converted(tmp_path, tmp_path / "to")
    assert code == 2
    assert re.search(r"images of the test split, .* such as extra.tfrecord-000000. Name what they lie in after", said)
    (tmp_path / "extra.tfrecord").unlink()
    assert converted(tmp_path, tmp_path / "to")[0] == 0
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["test", "train"]


def test_arrays_that_no_others_belong_to_are_said(tmp_path: Path) -> None:
    arrays(tmp_path, ["cat", "dog"] * 4)
    np.save(tmp_path / "x_test.npy", np.zeros((4, 4, 4), np.uint8))
    code, said = converted(tmp_path, tmp_path / "to")
    assert code == 0
    assert (
        "left out: 1 arrays of images without labels, or of labels without images, by their names (x_test.npy)" in said
    )


def pixels(path: Path, head: list[str], *rows: list[str]) -> Path:
    header = [*head, *(f"pixel{number}" for number in range(64))]
    path.write_text("\n".join(",".join(row) for row in (header, *([*row, *["7"] * 64] for row in rows))))
    return path


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (["id"], "a.csv has no column of classes: images without a class are no data"),
        ([], "a.csv has no column of classes"),
        (
            ["age", "gender"],
            "a.csv has the columns age, gender; any may hold the classes. Call the one that does label.",
        ),
    ],
)
def test_a_table_of_pixels_without_a_column_of_classes_is_refused(head: list[str], says: str, tmp_path: Path) -> None:
    source = pixels(tmp_path / "a.csv", head, *([str(number)] * len(head) for number in range(4)))
    code, said = converted(source, tmp_path / "to")
    assert code == 2
    assert says in said


def test_a_column_beside_the_number_of_the_row_is_that_of_classes(tmp_path: Path) -> None:
    rows = [[str(number), list(COLORS)[number % 2]] for number in range(6)]
    code, said = converted(pixels(tmp_path / "a.csv", ["id", "kind"], *rows, ["6", ""]), tmp_path / "to")
    assert code == 0
    assert "cat 3, dog 3" in said
    assert "left out: 1 rows without a class (7)" in said


def test_records_in_a_folder_for_each_split_are_read_and_kaggles_test_has_no_classes(tmp_path: Path) -> None:
    """As `tfrecords-jpeg-192x192` of Kaggle's flowers: the records of `test` hold an image and its id alone."""
    for split, labels in {"train": (0, 1), "val": (1, 0), "test": ()}.items():
        (tmp_path / "set" / split).mkdir(parents=True)
        data = b"".join(record(example(picture(), *[label])) for label in labels) or record(example(picture())) * 2
        (tmp_path / "set" / split / "00-192x192-2.tfrec").write_bytes(data)
    code, said = converted(tmp_path / "set", tmp_path / "to")
    assert code == 0, said
    assert "left out: 2 test images without a class" in said
    found = sorted(path.parent.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*.png"))
    assert found == ["train/0", "train/1", "val/0", "val/1"]
    (tmp_path / "set" / "train" / "00-192x192-2.tfrec").write_bytes(record(example(picture())))
    code, said = converted(tmp_path / "set", tmp_path / "again")
    assert code == 2
    assert re.search(r"record 0 of .*train/00-192x192-2.tfrec has image, label, and none is known for a class", said)


def test_a_folder_above_what_is_converted_gets_the_command(tmp_path: Path) -> None:
    (tmp_path / "all" / "large").mkdir(parents=True)
    (tmp_path / "all" / "sample.csv").write_text("id,label\na,0\n")
    for split in ("train", "val"):
        data = b"".join(record(example(picture(), label)) for label in (0, 1))
        (tmp_path / "all" / "large" / f"{split}.tfrecord").write_bytes(data)
    code, said = converted(tmp_path / "all", tmp_path / "to")
    assert code == 2
    assert f"and large in it is: hardener convert {tmp_path}/all/large {tmp_path}/to" in said
    assert converted(tmp_path / "all" / "large", tmp_path / "to")[0] == 0


def test_masks_in_a_file_beside_images_and_labels_are_passed_over(tmp_path: Path) -> None:
    for part, array in (("mask", np.zeros((9, 4, 4, 1))), ("x", np.zeros((8, 4, 4, 3))), ("y", np.arange(8) % 2)):
        with h5py.File(tmp_path / f"split_train_{part}.h5", "w") as file:
            file[part] = array.astype(np.uint8)
    code, said = converted(tmp_path, tmp_path / "to")
    assert (code, "(split_train_mask.h5)" in said, "0 4, 1 4" in said) == (0, True, True)
