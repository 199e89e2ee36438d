"""Tables that hold more than classes: places, sizes, splits without a known name; and others about fewer images."""

from __future__ import annotations

import shlex
import shutil
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


@pytest.mark.parametrize("folder", ["images/", ""])
@pytest.mark.parametrize("splits", ["train val", "seen judged", "train_50 val_50"])
def test_names_that_stand_in_each_split_are_those_beside_the_table(folder: str, splits: str, tmp_path: Path) -> None:
    first, second = splits.split()
    for split in (first, second):
        names = [f"{number}.png" for number in range(5, 5 + COUNT)]
        fill(tmp_path, *(f"{split}/{folder}{name}" for name in names))
        write(tmp_path / split / "info.csv", "filename,label", *(f"{name},{'ab'[len(name) % 2]}" for name in names))
    if first != "seen":
        found = read_data_set(tmp_path)
        assert len(found.train) == COUNT
        assert {name.split("/")[0] for name in found.validation.paths} == {second}
        assert len(found.validation) == COUNT
    table = tmp_path / second / "info.csv"
    found = read_data_set(table, reading=Reading(images_root=str(tmp_path)))
    assert {name.split("/")[0] for files in found.splits.values() for name in files.paths} == {second}


def test_a_split_whose_images_are_gone_does_not_take_those_of_another(tmp_path: Path) -> None:
    for split in ("train", "val"):
        names = images(tmp_path, f"{split}/images")
        write(tmp_path / split / "info.csv", "filename,label", *(f"{name},{'ab'[int(name[2]) % 2]}" for name in names))
    shutil.rmtree(tmp_path / "val/images")
    assert f"{COUNT} images stand in two splits, train and validation" in refused(tmp_path)
    assert "put the images of each split beside its own table" in refused(tmp_path)


def test_a_table_like_the_one_that_is_read_is_told_of_where_its_images_are_gone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [f"{name}{own},{'xy'[place % 2]}" for place, own in enumerate(images(tmp_path, "images"))]
        write(tmp_path / f"{name}.csv", "filename,label", *rows)
    fill(tmp_path, *(f"images/a{number:03}.png" for number in range(COUNT)))
    (doubt,) = (own for own in read_data_set(tmp_path).brought.doubts if own.startswith("b.csv"))
    assert "is a table like a.csv and is not used: most images that it names are not there" in doubt
    assert read_data_set(tmp_path, reading=Reading(ignore=("b.csv",))).brought.doubts == ()


def test_a_table_whose_names_stand_in_several_folders_is_told_of(tmp_path: Path) -> None:
    names = [f"i{number}" for number in range(COUNT)]
    fill(tmp_path, *(f"{folder}/{name}.png" for folder in ("a", "b") for name in names))
    write(tmp_path / "labels.csv", "image,kind", *(f"{name},{'xy'[place % 2]}" for place, name in enumerate(names)))
    (doubt,) = read_data_set(tmp_path).brought.doubts
    assert doubt.startswith("labels.csv is not used: its i0 may be a/i0.png or b/i0.png.")
    assert read_data_set(tmp_path, reading=Reading(ignore=("labels.csv",))).brought.doubts == ()
