"""A JSON file for each image that tells its class, as LabelMe's flags and Supervisely's tags do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hardener.config.reading import Reading
from hardener.data.data_set import DataSet, read_data_set
from hardener.errors import HardenerError

KINDS = ("cat", "cow", "dog")


def put(root: Path, image: str, told: str, number: int, **what: Any) -> None:
    for name in (image, told):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (number, 7, 9)).save(root / image)
    (root / told).write_text(json.dumps(what))


def kinds_by_number(found: DataSet) -> set[tuple[int, str]]:
    return {
        (int(Path(path).stem) % 3, found.classes[label])
        for files in found.splits.values()
        for path, label in zip(files.paths, files.labels, strict=True)
    }


RIGHT = set(enumerate(KINDS))


def test_flags_beside_images_tell_their_classes(tmp_path: Path) -> None:
    for number in range(24):
        flags = {"__ignore__": False, **{kind: kind == KINDS[number % 3] for kind in KINDS}}
        put(
            tmp_path,
            f"set/{number}.png",
            f"set/{number}.json",
            number,
            version="4.0",
            flags=flags,
            shapes=[],
            data=None,
        )
    found = read_data_set(tmp_path)
    assert kinds_by_number(found) == RIGHT
    assert "a file for each image, such as set/0.json" in found.brought.notes[0]


def test_tags_in_a_folder_of_their_own_tell_the_classes_and_several_are_left_out(tmp_path: Path) -> None:
    for number in range(24):
        tags = [{"name": KINDS[number % 3], "value": None}]
        put(tmp_path, f"ds{number % 2}/img/{number}.png", f"ds{number % 2}/ann/{number}.png.json", number, tags=tags)
    assert kinds_by_number(read_data_set(tmp_path)) == RIGHT
    put(tmp_path, "ds0/img/30.png", "ds0/ann/30.png.json", 30, tags=[{"name": "cat"}, {"name": "dog"}])
    found = read_data_set(tmp_path)
    assert kinds_by_number(found) == RIGHT
    assert [str(fact) for fact in found.brought.left_out if "without a class" in str(fact)] == [
        "1 rows without a class (ds0/img/30.png)"
    ]


def test_files_that_tell_other_classes_than_the_folders_are_refused_with_either_line(tmp_path: Path) -> None:
    for number in range(24):
        folder = ("garden", "street")[number % 2]
        put(tmp_path, f"{folder}/{number}.png", f"{folder}/{number}.json", number, label=KINDS[number % 3], size=4)
    with pytest.raises(HardenerError, match=r"other classes than their folders do: 3 \(cat, cow, dog\)") as caught:
        read_data_set(tmp_path)
    words = shlex.split(str(caught.value).partition("--data ")[2].partition(", or")[0])
    taken = read_data_set(Path(words[0]), reading=Reading(label_column=words[2]))
    assert kinds_by_number(taken) == RIGHT
    assert read_data_set(tmp_path, reading=Reading(ignore=("*.json",))).classes == ("garden", "street")


@pytest.mark.parametrize("label", ["garden", ""])
def test_files_that_agree_with_the_folders_or_tell_nothing_are_passed_over(label: str, tmp_path: Path) -> None:
    for number in range(24):
        folder = ("garden", "street")[number % 2]
        own = folder if label else ""
        put(tmp_path, f"{folder}/{number}.png", f"{folder}/{number}.json", number, label=own, objects=[number, 2])
    found = read_data_set(tmp_path)
    assert (found.classes, found.brought.doubts) == (("garden", "street"), ())


@pytest.mark.parametrize(
    "what",
    [
        lambda number: {"origin": {"device": ("phone", "tablet")[number % 4 // 2]}, "views": str(number)},
        lambda number: {"caption": f"a thing {number % 5}", "status": "success"},
    ],
)
def test_what_files_tell_and_do_not_call_a_class_is_passed_over(
    what: Callable[[int], dict[str, Any]], tmp_path: Path
) -> None:
    for number in range(24):
        folder = ("garden", "street")[number % 2]
        put(tmp_path, f"{folder}/{number}.png", f"{folder}/{number}.png.json", number, **what(number))
    found = read_data_set(tmp_path)
    assert (found.classes, found.brought.doubts) == (("garden", "street"), ())


@pytest.mark.parametrize("inner", ["", "Imgs/"])
@pytest.mark.parametrize(
    ("what", "column"),
    [
        (lambda kind: {"shapes": [{"label": kind, "points": [[0, 0], [1, 1]]}]}, "shapes.label"),
        (lambda kind: {"category": kind, "width": 4}, "category"),
        (lambda kind: {"flags": {own: own == kind for own in KINDS}}, None),
    ],
)
def test_what_may_be_of_a_part_or_a_site_is_a_doubt_and_the_folders_are_the_classes(
    what: Callable[[str], dict[str, Any]], column: str | None, inner: str, tmp_path: Path
) -> None:
    for number in range(24):
        folder = ("garden", "street")[number % 2]
        name = f"{folder}/{inner}{number}"
        put(tmp_path, f"{name}.png", f"{name}.json", number, **what(KINDS[number % 3]))
    found = read_data_set(tmp_path)
    assert found.classes == ("garden", "street")
    (doubt,) = found.brought.doubts
    assert "tells other classes than their folders do: 3 (cat, cow, dog)" in doubt
    if column is not None:
        words = shlex.split(doubt.partition("--data ")[2].partition(" takes")[0])
        assert words[2] == column
        assert kinds_by_number(read_data_set(Path(words[0]), reading=Reading(label_column=words[2]))) == RIGHT
    assert read_data_set(tmp_path, reading=Reading(ignore=("*.json",))).brought.doubts == ()
