"""What a table tells of splits and classes is followed, or refused, and never dropped without a word."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
from test_tables import csv_of, fill

from hardener.cli.options import asked_reading
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import read_data_set, read_source
from hardener.errors import HardenerError

IMAGES = [f"{place:03}.png" for place in range(30)]
LABELS = ["cat" if place % 2 else "dog" for place in range(30)]
SPLITS = ["train"] * 18 + ["val"] * 6 + ["test"] * 6


@pytest.fixture
def root(tmp_path: Path) -> Path:
    fill(tmp_path / "d", IMAGES)
    return tmp_path / "d"


def write(root: Path, header: str, *columns: list[str], name: str = "t.csv") -> Path:
    (root / name).write_text(csv_of([header.split(","), *map(list, zip(*columns, strict=True))]))
    return root / name


def flag(*splits: str) -> list[str]:
    return [str(int(split in splits)) for split in SPLITS]


def sizes(path: Path, reading: Reading = AS_FOUND) -> dict[str, int]:
    return {split: len(files) for split, files in read_data_set(path, reading=reading).splits.items()}


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        ("is_val,is_test", ("val", "test")),
        ("is_train,is_val,is_test", ("train", "val", "test")),
        ("train,test,val", ("train", "test", "val")),
        ("Train,Test,Validation", ("train", "test", "val")),
    ],
)
def test_every_column_that_flags_a_split_counts(header: str, flags: tuple[str, ...], root: Path) -> None:
    path = write(root, f"image,label,{header}", IMAGES, LABELS, *map(flag, flags))
    assert sizes(path) == {"train": 18, "validation": 6, "test": 6}
    hot = [[str(int(label == name)) for label in LABELS] for name in ("cat", "dog")]
    path = write(root, f"image,cat,dog,{header}", IMAGES, *hot, *map(flag, flags))
    assert (sizes(path), read_data_set(path).classes) == ({"train": 18, "validation": 6, "test": 6}, ("cat", "dog"))


def test_flags_that_contradict_each_other_are_refused_and_rows_without_are_left_out(root: Path) -> None:
    path = write(root, "image,label,is_val,is_test", IMAGES, LABELS, flag("val", "test"), flag("test"))
    with pytest.raises(HardenerError, match="row 25 of .* has a 1 in several columns of splits .is_val, is_test."):
        read_source(path, AS_FOUND)
    brought = read_source(
        write(root, "image,label,is_train,is_test", IMAGES, LABELS, flag("train"), flag("test")), AS_FOUND
    )
    assert ({str(split): len(own) for split, own in brought.splits.items()}) == {"train": 18, "test": 6}
    assert "6 rows of" in brought.doubts[0]
    assert sizes(write(root, "image,label,is_val", IMAGES, LABELS, flag("val")))["validation"] == 6


@pytest.mark.parametrize("word", ["train", "test"])
def test_a_class_called_like_a_split_among_columns_of_0_and_1_is_a_class(word: str, root: Path) -> None:
    hot = [[str(int(place % 3 == at)) for place in range(30)] for at in range(3)]
    path = write(root, f"image,car,{word},bus", IMAGES, *hot)
    assert read_data_set(path).classes == tuple(sorted(("car", word, "bus")))


def test_a_column_without_a_cell_is_no_mark(root: Path) -> None:
    path = write(root, "image,malignant,comment", IMAGES, ["01"[place % 2] for place in range(30)], [""] * 30)
    assert Counter(read_source(path, AS_FOUND).splits[None].names) == {"0": 15, "1": 15}


def test_images_in_folders_of_splits_and_in_others_are_refused_and_the_advice_works(tmp_path: Path) -> None:
    paths = [f"{folder}/{name}" for folder in ("train", "test", "extra [1]") for name in IMAGES]
    fill(tmp_path, paths)
    path = write(tmp_path, "image,label", paths, LABELS * 3)
    with pytest.raises(
        HardenerError, match=r"in folders of splits and in others: test/, train/ and extra \[1\]/"
    ) as caught:
        read_source(path, AS_FOUND)
    words = shlex.split(str(caught.value).partition("or pass ")[2].partition(" to leave")[0])
    reading = asked_reading(words[1::2], None, None)
    assert reading is not None
    assert sizes(path, reading) == {"train": 26, "validation": 4, "test": 30}


def test_a_class_called_test_in_folders_of_classes_is_a_class(tmp_path: Path) -> None:
    paths = [f"{folder}/{name}" for folder in ("bench", "test") for name in IMAGES]
    fill(tmp_path, paths)
    path = write(tmp_path, "image,label", paths, [path.partition("/")[0] for path in paths])
    assert read_data_set(path).drawn == ("validation", "test")


@pytest.mark.parametrize("entry", ["object", "pair", "by name"])
def test_json_by_split_is_divided_so(entry: str, root: Path) -> None:
    rows: dict[str, list[tuple[str, str]]] = {split: [] for split in ("train", "val", "test")}
    for image, label, split in zip(IMAGES, LABELS, SPLITS, strict=True):
        rows[split].append((image, label))
    made = {
        "object": {split: [{"path": path, "label": label} for path, label in own] for split, own in rows.items()},
        "pair": rows,
        "by name": {split: dict(own) for split, own in rows.items()},
    }
    (root / "t.json").write_text(json.dumps(made[entry]))
    assert (sizes(root / "t.json"), read_data_set(root / "t.json").classes) == (
        {"train": 18, "validation": 6, "test": 6}, ("cat", "dog"),
    )  # fmt: skip


def test_json_by_split_without_classes_is_refused_and_one_by_class_is_read(root: Path) -> None:
    (root / "t.json").write_text(json.dumps({"train": IMAGES[:20], "val": IMAGES[20:25], "test": IMAGES[25:]}))
    with pytest.raises(HardenerError, match="lists images of train, val, test, and no class of 000.png. Write each as"):
        read_source(root / "t.json", AS_FOUND)
    (root / "t.json").write_text(json.dumps({"car": IMAGES[:10], "train": IMAGES[10:20], "bus": IMAGES[20:]}))
    assert read_data_set(root / "t.json").classes == ("bus", "car", "train")


def test_a_class_may_begin_with_a_dot(root: Path) -> None:
    path = write(root, "image,label", IMAGES, [(".22LR", "9mm", ".45ACP")[place % 3] for place in range(30)])
    assert read_data_set(path).classes == (".22LR", ".45ACP", "9mm")
    assert read_data_set(path, reading=Reading(ignore=("*LR",))).classes == (".45ACP", "9mm")


def test_many_rows_without_a_class_are_said_and_a_split_without_any_is(root: Path) -> None:
    path = write(root, "image,label", IMAGES, ["" if place % 4 == 0 else label for place, label in enumerate(LABELS)])
    assert f"8 of the 30 rows of {path} have no class (000.png, " in read_source(path, AS_FOUND).doubts[0]
    labels = ["" if split == "test" else label for label, split in zip(LABELS, SPLITS, strict=True)]
    brought = read_source(write(root, "image,label,split", IMAGES, labels, SPLITS), AS_FOUND)
    assert ({str(split): len(own) for split, own in brought.splits.items()}) == {"train": 18, "validation": 6}
    assert "the 6 rows of test of" in brought.doubts[0]


def test_the_table_of_another_split_counts_from_its_own_folder(tmp_path: Path) -> None:
    for start, name in enumerate("ab"):
        fill(tmp_path / name / "imgs", IMAGES, start * 30)
        write(tmp_path / name, "image,label", IMAGES, LABELS if name == "a" else LABELS[1:] + LABELS[:1])
    reading = Reading(images_root=str(tmp_path / "a" / "imgs"))
    found = read_data_set(tmp_path / "a" / "t.csv", reading=reading, test_root=tmp_path / "b" / "t.csv")
    assert found.test is not None
    assert found.test.where(0) == str(tmp_path / "b" / "imgs" / "000.png")
    for name in "ab":
        fill(tmp_path / "lists" / name, ["x.png"])
        write(tmp_path / "lists" / name, "image,label", IMAGES, LABELS)
    lists = tmp_path / "lists"
    found = read_data_set(lists / "a" / "t.csv", reading=reading, test_root=lists / "b" / "t.csv")
    assert found.test is not None
    assert found.test.where(0) == str(tmp_path / "a" / "imgs" / "000.png")


def test_a_missing_image_is_not_taken_from_a_folder_of_others(tmp_path: Path) -> None:
    fill(tmp_path / "images", [name for name in IMAGES if name != "007.png"])
    fill(tmp_path / "thumbs", ["007.png"], start=90)
    for prefix in ("", "/home/nobody/set/"):
        brought = read_source(write(tmp_path, "image,label", [prefix + name for name in IMAGES], LABELS), AS_FOUND)
        assert set(brought.splits[None].paths) == {f"images/{name}" for name in IMAGES if name != "007.png"}
        assert "1 images that" in brought.doubts[0]


def test_images_in_several_parts_are_found_by_their_names(tmp_path: Path) -> None:
    fill(tmp_path, [f"part_{place // 16}/{name}" for place, name in enumerate(IMAGES)])
    assert len(read_source(write(tmp_path, "image,label", IMAGES, LABELS), AS_FOUND).splits[None]) == 30


def test_an_image_is_left_out_by_where_it_lies(tmp_path: Path) -> None:
    fill(tmp_path / "images", IMAGES)
    path = write(tmp_path, "image,label", IMAGES, LABELS)
    left = read_source(path, Reading(ignore=tuple(f"images/{name}" for name in IMAGES[:9])))
    assert (len(left.splits[None]), left.doubts) == (21, ())
    with pytest.raises(HardenerError, match="every row is passed over"):
        read_source(path, Reading(ignore=("images",)))


def test_a_path_that_leads_out_and_back_is_one_inside(root: Path) -> None:
    path = write(root, "image,label", [f"../{root.name}/{name}" for name in IMAGES], LABELS)
    assert len(read_source(path, AS_FOUND).splits[None]) == 30


def test_of_several_tables_those_too_many_are_named(root: Path) -> None:
    for split in ("train", "val", "test", "all"):
        rows = [(n, c) for n, c, own in zip(IMAGES, LABELS, SPLITS, strict=True) if split in (own, "all")]
        write(root, "image,label", *map(list, zip(*rows, strict=True)), name=f"{split}.csv")
    with pytest.raises(HardenerError, match=r"several tables .*, or leave some out: --ignore all.csv\.$"):
        read_data_set(root)
    assert sizes(root, Reading(ignore=("all.csv",))) == {"train": 18, "validation": 6, "test": 6}
    write(root, "image,label", IMAGES, LABELS, name="b.csv")
    with pytest.raises(HardenerError, match=r"leave some out: --ignore all.csv --ignore b.csv\.$"):
        read_data_set(root)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("mark", [";", "|"])
def test_marks_in_every_label_divide_no_cells(mark: str, header: bool, root: Path) -> None:
    rows = [f"{image},{mark.join(('animal', 'pet', label))}" for image, label in zip(IMAGES, LABELS, strict=True)]
    (root / "t.csv").write_text("\n".join(["image,label", *rows] if header else rows))
    assert read_data_set(root / "t.csv").classes == (f"animal{mark}pet{mark}cat", f"animal{mark}pet{mark}dog")


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x1c"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "txt"])
def test_a_line_ends_where_a_file_ends_it(mark: str, ending: str, root: Path) -> None:
    label = {"cat": f"ca{mark}t", "dog": "dog"}
    pairs = [(image, label[own]) for image, own in zip(IMAGES, LABELS, strict=True)]
    lines = {
        "jsonl": [json.dumps({"path": image, "label": own}, ensure_ascii=False) for image, own in pairs],
        "csv": ["# mine", "path,label", *(f"{image},{own}" for image, own in pairs)],
        "txt": [f"{image} {own}" for image, own in pairs],
    }
    (root / f"t.{ending}").write_bytes("\n".join(lines[ending]).encode())
    if mark != "\x0b" or ending != "jsonl":  # JSON takes no raw control character
        found = read_source(root / f"t.{ending}", AS_FOUND).splits[None]
        assert len(found) == 30
        assert len(found.classes) == 2


def test_a_table_of_held_out_images_alone_is_told_in_words(root: Path) -> None:
    path = write(root, "image,label,split", IMAGES, LABELS, ["test"] * 30)
    says = f"has a test split but no train split, by {re.escape(str(path))}, by its column. Name images"
    with pytest.raises(HardenerError, match=says):
        read_data_set(path)
