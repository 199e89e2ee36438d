"""Splits that tables, lists and names tell: each is taken, or it is said that nothing takes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from test_tables_beside import fill, kinds, numbered, sizes, write

from hardener.config.reading import Reading
from hardener.data.data_set import read_data_set, read_source
from hardener.errors import HardenerError

# Tables of two splits whose images have the same names.


def same_names(root: Path, train: str, test: str) -> tuple[Path, Path]:
    fill(root, *numbered("pictures/train", 0, 24), *numbered("pictures/test", 0, 10))
    write(root / "tables" / train, "id,label", kinds(0, 24))
    write(root / "tables" / test, "id,label", kinds(1, 10))
    return root / "tables" / train, root / "tables" / test


@pytest.mark.parametrize(("train", "test"), [("a_train.csv", "b_test.csv"), ("a.csv", "b.csv")])
@pytest.mark.parametrize("root", ["pictures/train", "pictures"])
def test_images_of_a_test_are_not_taken_from_train(train: str, test: str, root: str, tmp_path: Path) -> None:
    ours, theirs = same_names(tmp_path, train, test)
    reading = Reading(images_root=str(tmp_path / root))
    if (root, train) == ("pictures", "a.csv"):
        with pytest.raises(
            HardenerError, match="10 of the 24 images that .*a.csv names may be one file or another"
        ) as no:
            read_data_set(ours, reading=reading, test_root=theirs)
        way = shlex.split(str(no.value).partition("--images-root ")[2].removesuffix("."))[0]
        assert Path(way).name in ("test", "train")
        reading = Reading(images_root=str(tmp_path / "pictures" / "train"))
    found = read_data_set(ours, reading=reading, test_root=theirs)
    assert found.test is not None
    assert {Path(found.test.where(place)).parent.name for place in range(len(found.test))} == {"test"}
    assert {Path(found.train.where(place)).parent.name for place in range(len(found.train))} == {"train"}


def test_a_test_table_may_name_images_of_train_where_the_others_have_no_such_names(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("train", 0, 24), *numbered("test", 50, 60))
    write(tmp_path / "a.csv", "id,label", kinds(0, 14))
    write(tmp_path / "b.csv", "id,label", kinds(14, 24))
    reading = Reading(images_root=str(tmp_path / "train"))
    found = read_data_set(tmp_path / "a.csv", reading=reading, test_root=tmp_path / "b.csv")
    assert found.test is not None
    assert len(found.test) == 10


# Splits that lists tell, and those that nothing takes.


def class_lists(root: Path) -> None:
    for name, start in (("COVID", 0), ("NonCOVID", 12)):
        for split, first, last in (("train", 0, 8), ("val", 8, 10), ("test", 10, 12)):
            lines = [f"{number + start:03}.png" for number in range(first, last)]
            write(root / "Data-split" / name / f"{split}CT_{name}.txt", "", lines)


def objects(root: Path) -> None:
    for split, first, last in (("train", 0, 8), ("val", 8, 10), ("test", 10, 12)):
        rows = [
            {"image_path": f"{name}/{number + start:03}.png", "label": start // 12, "class_name": name}
            for name, start in (("COVID", 0), ("NonCOVID", 12))
            for number in range(first, last)
        ]
        told = {"samples": rows, "split": split, "metadata": {"classes": ["COVID", "NonCOVID"]}}
        write(root / "json" / f"{split}_dataset.json", "", [json.dumps(told)])
        if split == "train":
            assert (
                len(read_source(root / "json" / "train_dataset.json", Reading(images_root=str(root))).splits[None])
                == 16
            )


@pytest.mark.parametrize("tell", [class_lists, objects])
def test_splits_are_taken_from_lists_of_each_class_and_of_objects(tell: Callable[[Path], None], tmp_path: Path) -> None:
    fill(tmp_path, *numbered("imgs/COVID", 0, 12), *numbered("imgs/NonCOVID", 12, 24))
    tell(tmp_path)
    found = read_data_set(tmp_path)
    assert (sizes(found), found.drawn) == ({"train": 16, "validation": 4, "test": 4}, ())
    assert found.test is not None
    assert {Path(path).stem for path in found.test.paths} == {"010", "011", "022", "023"}


UNTAKEN = {
    "camera_splits_v0.json": json.dumps({"info": "x", "splits": {"train": ["0", "1"], "val": ["2"]}}),
    "info.json": json.dumps({"train": {"places": [1]}, "test": {"places": [2]}}),
    "splits.mat": "MATLAB",
    "kfold_partition.csv": "place,part\n1,a\n",
}


@pytest.mark.parametrize(("name", "text"), UNTAKEN.items(), ids=UNTAKEN.keys())
@pytest.mark.parametrize("flat", [True, False])
def test_files_that_seem_to_tell_splits_and_are_not_taken_are_said(
    name: str, text: str, flat: bool, tmp_path: Path
) -> None:
    folders = ("imgs", "imgs") if flat else ("imgs/cat", "imgs/dog")
    fill(tmp_path, *numbered(folders[0], 0, 12), *numbered(folders[1], 12, 24))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / name).write_text(text)
    if flat:
        write(tmp_path / "labels.csv", "file,label", kinds(0, 24))
    found = read_data_set(tmp_path)
    assert found.drawn == ("validation", "test")
    assert f"lists/{name} seems to tell splits and not to be used here" in " ".join(found.brought.doubts)
    assert any(f"lists/{name}" in fact.first for fact in found.brought.left_out)
    quiet = read_data_set(tmp_path, reading=Reading(ignore=(f"lists/{name}",)))
    assert quiet.brought.doubts == ()


@pytest.mark.parametrize("word", ["{}_{:03}", "{1:03}-{0}"])
def test_names_of_images_that_tell_splits_divide_them(word: str, tmp_path: Path) -> None:
    names = [word.format("test" if number > 15 else "train", number) for number in range(24)]
    fill(tmp_path, *(f"images/{name}.png" for name in names))
    write(tmp_path / "labels.txt", "", [f"{name}.png {number % 2}" for number, name in enumerate(names)])
    for root in (tmp_path, tmp_path / "labels.txt"):
        found = read_data_set(root)
        assert (len(found.splits["test"]), found.drawn) == (8, ("validation",))
        assert "the names of the images tell the splits (16 train, 8 test)" in found.brought.notes
        assert found.brought.doubts == ()


@pytest.mark.parametrize("name", ["more_{}", "test_{}"])
def test_names_that_do_not_divide_all_images_and_classes_are_said(name: str, tmp_path: Path) -> None:
    """Some tell no split, or hold out a class that nothing is trained on."""
    names = [f"{'test' if number > 15 else 'train'}_{number:02}" for number in range(64)]
    names += [name.format(number) for number in range(64, 67)]
    fill(tmp_path, *(f"images/{name}.png" for name in names))
    write(tmp_path / "labels.txt", "", [f"{own}.png {number // 32}" for number, own in enumerate(names)])
    assert "seem to tell splits" in " ".join(read_data_set(tmp_path).brought.doubts)


def test_lists_of_splits_come_before_what_names_of_images_tell(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{kind}/{'test' if n > 6 else 'train'}_{n}.png" for kind in ("cat", "dog") for n in range(10)))
    assert len(read_data_set(tmp_path).splits["test"]) == 6
    listed = {
        split: [f"{kind}/{name}.png" for kind in ("cat", "dog") for name in own]
        for split, own in {
            "train": [f"train_{n}" for n in range(6)],
            "test": ["train_6", "test_7", "test_8", "test_9"],
        }.items()
    }
    for split, own in listed.items():
        write(tmp_path / f"{split}.txt", "", own)
    assert len(read_data_set(tmp_path).splits["test"]) == 8
