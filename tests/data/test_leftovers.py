"""Folders beside classes that are hardly classes: outputs of runs, what has no label yet, what was deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_two_readings import count, fill, pairs, read, refusal, typed

from hardener.data.unclear.leftover import hardly_classes

HARDLY = [
    "predictions", "model_predictions_v2", "results", "output", "unsorted", "unsorted_cats", "unlabeled", "to_label",
    "ToLabel", "2sort", "to be sorted", "not_sure", "needs_review", "New folder (2)", "Untitled", "misc_old",
    "_deleted", "_trash", "rejected", "duplicates", "dont use", "backup", "cats_old", "temp",
    "images", "all",
    "Unsortierte Bilder", "Neuer Ordner (2)", "Sonstiges", "à trier", "sin_clasificar", "Не разобрано", "未分类图片",
    "新しいフォルダー", "gelöscht", "Papierkorb", "nicht verwenden", "alle Bilder", "todas",
]  # fmt: skip


@pytest.mark.parametrize("name", HARDLY)
def test_what_is_hardly_a_class_is_named_with_the_line_that_leaves_it_out(name: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "d", "cats", "dogs", name)
    (doubt,) = read(root, {}).brought.doubts
    assert f"{name}/ looks like " in doubt
    assert "taken for a class" in doubt
    (line,) = typed(doubt)
    kept = read(root, line)
    assert kept.classes == ("cats", "dogs")
    assert kept.brought.doubts == ()
    assert len(read(root, {"--class-depth": ["1"]}).classes) == 3
    assert read(root, {"--class-depth": ["1"]}).brought.doubts == ()


@pytest.mark.parametrize(
    "names",
    [
        "unsorted waste|recyclable|organic",
        "sorted|unsorted",
        "predators|prey",
        "true|false",
        "old|young|adult",
        "new car|used car|old car",
        "paper_old|paper_new",
        "good|rejected",
        "original|copy",
        "cardboard|glass|metal|paper|plastic|trash",
        "unknown|other|yes",
        "results positive|results negative",
        "labeled bottle|unlabeled bottle",
        "temple|copyright|delete key",
        "_a|_b|_c",
        "positive|negative|uncertain",
        "input|output",
        "klar|unklar",
        "Stuhl|Tisch|Tür",
        "pasta|pizza|ragù",
    ],
)
def test_classes_of_such_names_are_classes_without_a_word(names: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *names.split("|"))
    assert read(root, {}).brought.doubts == ()
    assert read(root, {}).classes == tuple(sorted(names.split("|")))


def test_it_is_told_in_the_split_to_train_on_and_inside_a_class(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs("train", "val"), "train/unsorted")
    (doubt,) = read(root, {}).brought.doubts
    assert read(root, typed(doubt)[0]).classes == ("cat", "dog")
    root = fill(tmp_path / "e", "cat", "dog", "cat/_deleted")
    (doubt,) = read(root, {}).brought.doubts
    assert "cat/_deleted/ looks like images that were taken out" in doubt
    assert count(read(root, typed(doubt)[0])) == 8


@pytest.mark.parametrize(
    "folders",
    [
        [*pairs("labeled"), "unlabeled"],
        [*pairs("dataset"), "results", "tmp"],
        [*pairs("all"), "to_label"],
        ["cat", "dog", *pairs("predictions")],
    ],
)
def test_what_is_no_class_for_sure_is_refused_and_the_line_leaves_the_classes(
    folders: list[str], tmp_path: Path
) -> None:
    root = fill(tmp_path / "d", *folders)
    (line, depth) = typed(refusal(root))
    assert read(root, line).classes == ("cat", "dog")
    assert depth == {"--class-depth": ["1"]}
    assert len(read(root, depth).classes) == len({folder.partition("/")[0] for folder in folders})


def test_images_that_lie_there_again_by_their_names_are_refused(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", "cat", "dog", name="{parent}_{}")
    for path in list(root.glob("*/*.png")):
        (root / "results").mkdir(exist_ok=True)
        shutil.copyfile(path, root / "results" / path.name)
    message = refusal(root)
    assert "its files are called like those" in message
    assert count(read(root, typed(message)[0])) == 8
    root = fill(tmp_path / "e", *pairs("good", names="big small"), "rejected")
    assert read(root, {}).classes == ("good", "rejected")


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (pairs("cat", "dog", names="train test"), 2),
        (pairs("data/cat", "data/dog", names="training validation test"), 3),
        ([f"{way}/deep" for way in pairs("cat", "dog", names="train test")], 2),
        ([*pairs("cat", "dog", names="train val"), "cat/extra"], 2),
    ],
)
def test_splits_inside_classes_are_read_by_the_line(folders: list[str], splits: int, tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *folders)
    (line, depth) = typed(refusal(root))
    found = read(root, line)
    assert (found.classes, len(found.splits) - len(found.drawn)) == (("cat", "dog"), splits)
    assert count(found) == 4 * len([folder for folder in folders if "extra" not in folder])
    assert read(root, depth).classes == ("cat", "dog")


@pytest.mark.parametrize("beside", [["images"], ["stray"], pairs("samples"), pairs("more", names="cow hen")])
@pytest.mark.parametrize("below", ["", "dataset/"])
def test_what_lies_beside_a_divided_set_is_not_mixed_with_it(below: str, beside: list[str], tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs(f"{below}train", f"{below}test"), *beside)
    found = read(root, typed(refusal(root))[0])
    assert (found.classes, count(found), found.drawn) == (("cat", "dog"), 16, ("validation",))


def test_splits_without_classes_are_not_taken_for_classes_beside_what_is_none(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", "train", "val", "test", "extra")
    assert "without class folders" in refusal(root)
    assert len(read(root, {"--class-depth": ["1"]}).classes) == 4
    assert read(fill(tmp_path / "e", "train", "plane", "car"), {}).classes == ("car", "plane", "train")


def test_thousands_of_folders_are_looked_at_once_each() -> None:
    """A pattern made anew for each name took minutes here."""
    names = [f"wild cat {place}" for place in range(3000)]
    assert hardly_classes([*names, "predictions"]) == {"predictions": "the output of an earlier run"}
