"""Tables that hold more than classes: places, sizes, splits without a known name; and others about fewer images."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from trees import fill, refused, write

from hardener.config.reading import Reading
from hardener.data.data_set import read_data_set

COUNT = 12


def images(root: Path, folder: str = "images", count: int = COUNT) -> list[str]:
    names = [f"{number:03}.png" for number in range(count)]
    fill(root, *(f"{folder}/{name}" for name in names))
    return names


@pytest.mark.parametrize("measure", ["righteye_x", "OriginalImage[Width", "y]", "box.x1", "height"])
def test_a_place_or_a_size_is_no_class(measure: str, tmp_path: Path) -> None:
    rows = [f"{name},{'ab'[place % 2]},{10 + place % 3}" for place, name in enumerate(images(tmp_path))]
    write(tmp_path / "t.csv", f"image,shade,{measure}", *rows)
    assert read_data_set(tmp_path).classes == ("a", "b")


def test_a_size_in_words_is_a_class(tmp_path: Path) -> None:
    rows = [f"{name},{('tall', 'short')[place % 2]}" for place, name in enumerate(images(tmp_path))]
    write(tmp_path / "t.csv", "image,height", *rows)
    assert read_data_set(tmp_path).classes == ("short", "tall")


def test_a_column_of_nothing_but_splits_is_one_whatever_its_name(tmp_path: Path) -> None:
    splits = ["training"] * 8 + ["validation"] * 2 + ["test"] * 2
    rows = [f"{name},{'ab'[place % 2]},{splits[place]}" for place, name in enumerate(images(tmp_path))]
    write(tmp_path / "t.csv", "image,shade,ml_use", *rows)
    found = read_data_set(tmp_path)
    assert found.classes == ("a", "b")
    assert {split: len(files) for split, files in found.splits.items()} == {"train": 8, "validation": 2, "test": 2}


def test_a_list_of_images_elsewhere_divides_none_of_the_same_names(tmp_path: Path) -> None:
    rows = [f"{name},{'ab'[place % 2]}" for place, name in enumerate(images(tmp_path, "train"))]
    write(tmp_path / "Training_set.csv", "filename,label", *rows)
    write(tmp_path / "Testing_set.csv", "filename", *images(tmp_path, "test", 5))
    found = read_data_set(tmp_path)
    assert sum(map(len, found.splits.values())) == COUNT
    assert any(doubt.startswith("Testing_set.csv seems to tell splits") for doubt in found.brought.doubts)


def test_a_table_of_a_few_images_does_not_stand_for_one_of_all(tmp_path: Path) -> None:
    names = images(tmp_path)
    write(
        tmp_path / "boxes.csv",
        "image,label,x",
        *(f"{name},{'ab'[place % 2]},3" for place, name in enumerate(names[:4])),
    )
    write(
        tmp_path / "entries.csv",
        "image,Finding Labels,age,view",
        *(f"{name},{'ab'[place % 2]},{place % 4},{'pq'[place % 3 == 0]}" for place, name in enumerate(names)),
    )
    message = refused(tmp_path)
    words = shlex.split(message.partition(" Name it: pass --data ")[2].removesuffix("."))
    assert words == [f"{tmp_path}/entries.csv", "--label-column", "Finding Labels"]
    found = read_data_set(Path(words[0]), reading=Reading(label_column=words[2]))
    assert sum(map(len, found.splits.values())) == COUNT
