"""Lists of splits beside class folders: each is followed or refused, and never dropped without a word."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from test_layouts import build

from hardener.cli.options import asked_reading
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import DataSet, read_data_set, read_source
from hardener.errors import HardenerError


def names(start: int, end: int) -> list[str]:
    return [f"{label}/{place:03}.png" for label in ("cat", "dog") for place in range(start, end)]


TRAIN, VAL, TEST = names(0, 12), names(12, 16), names(16, 20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two class folders of twenty images each."""
    return build(tmp_path / "d", "cat x20", "dog x20")


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def held(folder: DataSet) -> tuple[set[str], set[str]]:
    assert folder.test is not None
    return set(folder.validation.paths), set(folder.test.paths)


def repeated(root: Path) -> None:
    for name, lines in (("train", [*TRAIN, TRAIN[0]]), ("val", [*VAL, VAL[1], VAL[1]]), ("test", TEST)):
        write(root / f"{name}.txt", lines)


def trainval(root: Path) -> None:
    for name, lines in (("trainval", TRAIN + VAL), ("train", TRAIN), ("val", VAL), ("test", TEST)):
        write(root / f"{name}.txt", lines)


def trainval_without_train(root: Path) -> None:
    for name, lines in (("trainval", TRAIN + VAL), ("val", VAL), ("test", TEST)):
        write(root / f"{name}.txt", lines)


def the_rest(root: Path) -> None:
    write(root / "testing_list.txt", TEST)
    write(root / "validation_list.txt", VAL)


def suffixed(root: Path) -> None:
    for name, lines in (("train_list", TRAIN), ("val_list", VAL), ("test_list", TEST)):
        write(root / "splits" / f"{name}.txt", lines)


def numbered(root: Path) -> None:
    for name, lines in (("trainlist01", TRAIN), ("vallist01", VAL), ("testlist01", TEST)):
        write(root / f"{name}.txt", [f"{line} {int(line[0] == 'd')}" for line in lines])


def class_first(root: Path) -> None:
    for name, lines in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        write(root / f"{name}.txt", [f"{int(line[0] == 'd')} {line}" for line in lines])


def levels(root: Path) -> None:
    for name, lines in (("Cats200_train", TRAIN), ("Cats200_val", VAL), ("Cats200_test", TEST)):
        write(root / f"{name}.txt", [f"{line} {place} 1 -2.5" for place, line in enumerate(lines)])


def crossval(root: Path) -> None:
    for name, lines in (("pets_train_kfold", TRAIN), ("pets_crossval_kfold", VAL), ("pets_test_kfold", TEST)):
        write(root / f"{name}.txt", lines)


def of_each_class(root: Path) -> None:
    for label in ("cat", "dog"):
        for name, lines in (("train", TRAIN), ("val", VAL), ("test", TEST)):
            write(root / label / f"{name}.txt", [line[4:] for line in lines if line.startswith(label)])


def column(root: Path) -> None:
    rows = [(line, split) for split, lines in (("train", TRAIN), ("val", VAL), ("test", TEST)) for line in lines]
    write(root / "labels.csv", ["path,label,split", *(f"{line},{line[:3]},{split}" for line, split in rows)])


def column_alone(root: Path) -> None:
    rows = [f"{line},{int(line in VAL)},{int(line in TEST)}" for line in TRAIN + VAL + TEST]
    write(root / "splits.csv", ["path,is_val,is_test", *rows])


def by_key(root: Path) -> None:
    (root / "splits.json").write_text(json.dumps({"train": TRAIN, "val": VAL, "test": TEST}))


def marked(root: Path) -> None:
    for name, lines in (("train", TRAIN), ("val", VAL), ("test", TEST)):
        (root / f"{name}.txt").write_bytes(b"\xef\xbb\xbf# made by me\r\n" + "\r\n".join(lines).encode())


WAYS = [
    repeated, trainval, trainval_without_train, the_rest, suffixed, numbered, class_first, of_each_class, column,
    column_alone, by_key, marked, levels, crossval,
]  # fmt: skip


@pytest.mark.parametrize("tell", WAYS)
def test_the_splits_are_those_that_the_lists_tell(tell: Callable[[Path], None], root: Path) -> None:
    tell(root)
    for place in (root, Path(shutil.make_archive(str(root), "zip", root))):
        folder = read_data_set(place)
        assert held(folder) == (set(VAL), set(TEST))
        assert (set(folder.train.paths), folder.drawn) == (set(TRAIN), ())
        assert folder.brought.kind == "split-lists"
        assert any("the splits were read from" in note for note in folder.brought.notes)


def test_the_first_of_several_sets_is_taken_and_the_advice_takes_the_next(root: Path) -> None:
    for number, lines in ((1, TEST), (2, VAL), (11, TEST)):
        write(root / f"test_{number:02}.txt", lines)
    folder = read_data_set(root)
    assert held(folder)[1] == set(TEST)
    words = shlex.split(folder.brought.notes[0].partition("; ")[2].partition(" takes")[0])
    assert held(read_data_set(root, reading=Reading(ignore=tuple(words[1::2]))))[1] == set(VAL)


def test_a_list_of_the_test_alone_holds_it_out(root: Path) -> None:
    write(root / "test.txt", TEST)
    folder = read_data_set(root)
    assert held(folder)[1] == set(TEST)
    assert folder.drawn == ("validation",)
    assert "the 32 that none names are taken" in " ".join(folder.brought.notes)


def test_a_list_of_all_images_divides_nothing(root: Path) -> None:
    write(root / "train.txt", TRAIN + VAL + TEST)
    assert read_data_set(root).drawn == ("validation", "test")


def test_an_image_that_is_gone_is_said(root: Path) -> None:
    suffixed(root)
    (root / TRAIN[3]).unlink()
    folder = read_data_set(root)
    assert held(folder)[1] == set(TEST)
    assert f"names are not there ({TRAIN[3]})" in folder.brought.doubts[0]


def both(root: Path) -> None:
    write(root / "train.txt", [*TRAIN, TEST[0]])
    write(root / "test.txt", TEST)


def partly(root: Path) -> None:
    write(root / "train.txt", [*TRAIN, *(f"cow/{place}.png" for place in range(9))])
    write(root / "test.txt", TEST)


def bracketed(root: Path) -> None:
    write(root / "lists [1]" / "train.txt", [*TRAIN, TEST[0]])
    write(root / "lists [1]" / "test.txt", TEST)


@pytest.mark.parametrize(
    ("tell", "says"),
    [
        (both, "cat/016.png stands in two splits, .* by test.txt and train.txt below"),
        (partly, "name 41 images, and 9 of them are not there, such as cow/0.png"),
        (bracketed, "stands in two splits"),
    ],
)
def test_lists_that_do_not_fit_are_refused_and_the_advice_works(
    tell: Callable[[Path], None], says: str, root: Path
) -> None:
    tell(root)
    with pytest.raises(HardenerError, match=says) as caught:
        read_data_set(root)
    words = shlex.split(str(caught.value).partition("or pass ")[2].partition(" to divide")[0])
    reading = asked_reading([word for word in words if word != "--ignore"], None, None)
    assert reading is not None
    assert read_data_set(root, reading=reading).drawn == ("validation", "test")


def test_a_table_of_splits_that_tells_other_classes_is_refused(root: Path) -> None:
    rows = [
        f"{line},{'ab'[place % 2]},{'test' if line in TEST else 'train'}" for place, line in enumerate(names(0, 20))
    ]
    write(root / "labels.csv", ["path,label,split", *rows])
    with pytest.raises(HardenerError, match="tells other classes of the images than their folders do"):
        read_data_set(root)


def test_lists_and_folders_of_splits_must_agree(tmp_path: Path) -> None:
    root = build(tmp_path / "d", "train/cat x4", "train/dog x4", "val/cat x4", "val/dog x4")
    write(root / "val.txt", [f"val/{label}/00{place}.png" for label in ("cat", "dog") for place in range(4)])
    write(root / "train.txt", [f"{label}/00{place}.png" for label in ("cat", "dog") for place in range(4)])
    assert len(read_data_set(root).validation) == 8
    write(root / "test.txt", ["train/cat/000.png"])
    (root / "train.txt").unlink()
    with pytest.raises(HardenerError, match=r"1 images in train/ that .* for test, such as train/cat/000.png"):
        read_data_set(root)
    assert read_source(root, Reading(ignore=("test.txt", "val.txt"))).kind == "image-folder"


def test_a_list_of_held_out_images_alone_has_none_to_train_on(tmp_path: Path) -> None:
    root = build(tmp_path / "d", "cat x4", "dog x4")
    write(root / "test.txt", names(0, 4))
    assert set(read_source(root, AS_FOUND).splits) == {"test"}
    with pytest.raises(HardenerError, match="has a test split but no train split, by test.txt. Name images to train"):
        read_data_set(root)


def test_a_list_of_all_is_told_and_the_line_divides_by_the_others(root: Path) -> None:
    for name, lines in (("train", TRAIN), ("val", VAL), ("test", [*TRAIN, *VAL])):
        write(root / f"{name}.txt", lines)
    with pytest.raises(HardenerError, match="The lists of test name the images of the others too") as caught:
        read_data_set(root)
    ignore = shlex.split(str(caught.value).partition("--ignore ")[2])[0]
    found = read_data_set(root, reading=Reading(ignore=(ignore,)))
    assert (set(found.validation.paths), found.test) == (set(VAL), None)


def test_what_may_be_one_file_or_another_is_not_said_to_be_gone(root: Path) -> None:
    for name in TEST:
        (root / "more").mkdir(exist_ok=True)
        shutil.copy(root / name, root / "more" / f"{name.replace('/', '_')}")
    write(root / "train.txt", [f"{line[:3]}_{line[4:]}" for line in TEST])
    shutil.copytree(root / "more", root / "again")
    with pytest.raises(HardenerError, match="8 of them may be one file or another, such as cat_016.png: again/"):
        write(root / "train.txt", [*TRAIN, *(f"{line[:3]}_{line[4:]}" for line in TEST)])
        read_data_set(root)


def test_of_two_files_of_a_name_the_one_that_is_not_drawn_is_meant(tmp_path: Path) -> None:
    root = build(tmp_path / "d", "pictures x20", "contours x20")
    rows = [f"{place:03},{'ab'[place % 2]}" for place in range(20)]
    write(root / "labels.csv", ["image,label", *rows])
    found = read_data_set(root / "labels.csv")
    assert {name.split("/")[0] for files in found.splits.values() for name in files.paths} == {"pictures"}
