"""Tables that tell how images are divided: never classes, and used where another file tells the classes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from test_tables_beside import fill, read_as_advised
from trees import refused, write

from hardener.config.reading import Reading
from hardener.data.data_set import DataSet, read_data_set
from hardener.errors import HardenerError

NAMES = [f"{number:06}.jpg" for number in range(1, 31)]
PARTS = [0] * 18 + [1] * 6 + [2] * 6
DIVIDED = {"train": NAMES[:18], "validation": NAMES[18:24], "test": NAMES[24:]}


def marks(number: int) -> tuple[int, int, int]:
    return (1 if number % 2 else -1, 1 if number % 3 else -1, 1 if number % 5 > 1 else -1)


def faces(root: Path, *, header: str = "Bald Male  Smiling ", identity: bool = False) -> None:
    """Write what CelebA has: a count, a header of single spaces, and rows padded to a width."""
    fill(root, *(f"img_align_celeba/{name}" for name in NAMES))
    rows = [f"{name} " + " ".join(f"{mark:2d}" for mark in marks(place)) for place, name in enumerate(NAMES)]
    write(root / "list_attr_celeba.txt", str(len(NAMES)), header, *rows)
    write(root / "list_eval_partition.txt", *(f"{name} {part}" for name, part in zip(NAMES, PARTS, strict=True)))
    if identity:
        write(root / "identity_CelebA.txt", *(f"{name} {2880 + place % 5}" for place, name in enumerate(NAMES)))


def held(found: DataSet) -> dict[str, list[str]]:
    return {split: sorted(Path(path).name for path in files.paths) for split, files in found.splits.items()}


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("header", ["Bald Male Smiling ", "image_id Bald   Male Smiling"])
def test_marks_of_faces_are_refused_and_the_line_takes_one_with_the_partition(
    header: str, identity: bool, tmp_path: Path
) -> None:
    faces(tmp_path, header=header, identity=identity)
    text = refused(tmp_path)
    assert "--label-column" in text
    words = shlex.split(text.partition("--data ")[2].partition(", or")[0].removesuffix("."))
    assert words[0] == str(tmp_path / "list_attr_celeba.txt")
    for place, asked in ((Path(words[0]), words[2]), (tmp_path, "Smiling")):
        found = read_data_set(place, reading=Reading(label_column=asked))
        assert (held(found), found.drawn, found.classes) == (DIVIDED, (), ("-1", "1"))
        assert "list_eval_partition.txt" in str(found.brought.notes)


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("partition", "012"), ("split", "01"), ("fold", "01234"), ("set", "12"), ("subset", "AB"), ("phase", "123"),
        ("usage", ["Training", "PublicTest"]), ("is_train", "01"), ("is_training_img", "01"), ("kfold", "0123"),
        ("split_id", "012"), ("cv fold", "012"), ("used_for_test", "01"),
    ],
)  # fmt: skip
def test_a_column_that_divides_is_no_class_unless_it_is_named(
    column: str, cells: str | list[str], tmp_path: Path
) -> None:
    fill(tmp_path, *(f"images/{name}" for name in NAMES))
    rows = [f"{name},{cells[place % len(cells)]}" for place, name in enumerate(NAMES)]
    write(tmp_path / "table.csv", f"image,{column}", *rows)
    text = refused(tmp_path)
    assert "tells the split of 30 images" in text
    with pytest.raises(HardenerError, match="tells the split of each image"):
        read_data_set(tmp_path / "table.csv")
    assert len(read_as_advised(text).classes) == len(cells)


def test_a_phase_and_a_set_of_words_are_classes(tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{name}" for name in NAMES))
    rows = [f"{name},{('mitosis', 'meiosis')[place % 2]}" for place, name in enumerate(NAMES)]
    write(tmp_path / "table.csv", "image,phase", *rows)
    assert read_data_set(tmp_path).classes == ("meiosis", "mitosis")


@pytest.mark.parametrize(("column", "custom"), [("partition", True), ("split", False)])
def test_numbers_of_splits_are_read_and_said(column: str, custom: bool, tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{name}" for name in NAMES))
    rows = [f"{name},{'ab'[place % 2]},{PARTS[place]}" for place, name in enumerate(NAMES)]
    write(tmp_path / "t.csv", f"image,label,{column}", *rows)
    found = read_data_set(tmp_path)
    assert held(found) == DIVIDED
    assert "0 train, 1 validation, 2 test" in str(found.brought.notes if custom else found.brought.doubts)


def lists(root: Path, style: str, names: list[str]) -> None:
    parts = {"train": names[:18], "val": names[18:24], "test": names[24:]}
    for split, own in parts.items():
        if style == "{}_split.csv":
            write(root / style.format(split), "image", *own)
        else:
            write(root / style.format(split), *own)
    if "fold0" in style:
        for split, own in zip(parts, (names[12:], names[6:12], names[:6]), strict=True):
            write(root / style.format(split).replace("0", "1"), *own)


STYLES = ["{}.txt", "{}_split.csv", "images_{}.txt", "splits/fold0_{}.txt", "fold0/{}.txt"]


@pytest.mark.parametrize("style", STYLES)
def test_lists_divide_what_a_table_tells_the_classes_of(style: str, tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{name}" for name in NAMES))
    write(tmp_path / "labels.csv", "image,label", *(f"{name},{'ab'[place % 2]}" for place, name in enumerate(NAMES)))
    lists(tmp_path, style, NAMES)
    for root in (tmp_path, tmp_path / "labels.csv"):
        if root == tmp_path or style.count("/") == 0 or style.startswith("splits"):
            assert held(read_data_set(root)) == DIVIDED


@pytest.mark.parametrize("style", STYLES)
def test_lists_divide_what_a_pattern_tells_the_classes_of(style: str, tmp_path: Path) -> None:
    names = [f"{'ab'[place % 2]}_{place:03}.png" for place in range(30)]
    fill(tmp_path, *(f"images/{name}" for name in names))
    lists(tmp_path, style, names)
    found = read_data_set(tmp_path, reading=Reading(label_from="{label}_{#}.png"))
    assert (held(found)["test"], found.drawn) == (sorted(names[24:]), ())


def test_the_line_that_takes_the_next_fold_works(tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{name}" for name in NAMES))
    write(tmp_path / "labels.csv", "image,label", *(f"{name},{'ab'[place % 2]}" for place, name in enumerate(NAMES)))
    lists(tmp_path, "splits/fold0_{}.txt", NAMES)
    (note,) = [own for own in read_data_set(tmp_path).brought.notes if "takes the next" in own]
    ignore = tuple(shlex.split(note.partition("sets; ")[2].partition(" takes")[0])[1::2])
    assert held(read_data_set(tmp_path, reading=Reading(ignore=ignore)))["test"] == NAMES[:6]


def test_persons_that_a_partition_keeps_apart_are_refused_and_the_line_divides_them(tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{name}" for name in NAMES))
    write(tmp_path / "identity.txt", *(f"{name} {place // 3 + 100}" for place, name in enumerate(NAMES)))
    write(tmp_path / "partition.csv", "image,partition", *(f"{n},{p}" for n, p in zip(NAMES, PARTS, strict=True)))
    text = refused(tmp_path)
    assert "holds out classes that nothing is trained on" in text
    ignore = tuple(shlex.split(text.partition("Pass ")[2].partition(" to divide")[0])[1::2])
    assert len(read_data_set(tmp_path, reading=Reading(ignore=ignore)).classes) == 10


def test_a_count_and_a_list_of_numbers_are_told_apart(tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{name}" for name in NAMES))
    write(tmp_path / "labels.txt", "30", *(f"{name} {'ab'[place % 2]}" for place, name in enumerate(NAMES)))
    assert read_data_set(tmp_path).classes == ("a", "b")
