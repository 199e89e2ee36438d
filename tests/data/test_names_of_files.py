"""Names of files that show what folders are: two of one name side by side, and the same ones in every folder."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from PIL import Image
from trees import refused

from hardener.config.reading import Reading
from hardener.data.data_set import read_data_set


def fill(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number % 251, number // 251, len(name))).save(root / name)


def test_what_lies_beside_a_photograph_by_its_name_is_refused_and_left_out(tmp_path: Path) -> None:
    names = [f"{kind}/Imgs/{number}" for kind in ("crack", "free") for number in range(5)]
    fill(tmp_path, *(f"{name}.{ending}" for name in names for ending in ("jpg", "png")))
    text = refused(tmp_path)
    assert "crack/Imgs/0.jpg and crack/Imgs/0.png" in text
    assert "--ignore '*.png' takes jpg alone" in text
    found = read_data_set(tmp_path, reading=Reading(ignore=("*.png",)))
    assert {Path(path).suffix for files in found.splits.values() for path in files.paths} == {".jpg"}
    assert len(read_data_set(tmp_path, reading=Reading(class_depth=1)).train) == 16


def test_a_few_names_with_two_endings_are_chance(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{kind}/{number}.jpg" for kind in ("crow", "owl") for number in range(9)))
    fill(tmp_path, *(f"{kind}/{number}.png" for kind in ("crow", "owl") for number in range(4)))
    assert read_data_set(tmp_path).brought.doubts == ()


def test_two_sources_that_count_their_images_are_alike_by_chance(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{kind}/{number:03}.jpg" for kind in ("crow", "owl") for number in range(12)))
    fill(tmp_path, *(f"{kind}/{number:03}.png" for kind in ("crow", "owl") for number in range(11)))
    assert read_data_set(tmp_path).brought.doubts == ()


def test_files_of_the_same_numbered_words_in_every_folder_are_refused(tmp_path: Path) -> None:
    words = ("mask1", "mask2", "wrong", "none")
    fill(tmp_path, *(f"00{person}_{age}/{word}.png" for person, age in ((1, 45), (2, 22), (3, 60)) for word in words))
    text = refused(tmp_path)
    assert "end alike in every folder" in text
    assert "unless data.group_by keeps them together" in text
    pattern = shlex.split(text.partition("--label-from ")[2])[0]
    assert read_data_set(tmp_path, reading=Reading(label_from=pattern)).classes == ("mask", "none", "wrong")
    assert len(read_data_set(tmp_path, reading=Reading(class_depth=1)).classes) == 3


def test_files_that_programs_call_alike_in_unequal_numbers_are_chance(tmp_path: Path) -> None:
    for place, kind in enumerate(("crow", "owl", "tit")):
        fill(tmp_path, *(f"{kind}/images-{number}.png" for number in range(4 + 3 * place)))
        fill(tmp_path, *(f"{kind}/download-{number}.png" for number in range(9 - 3 * place)))
    assert read_data_set(tmp_path).brought.doubts == ()


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (("shirt", "shoe", "hat"), ("front_1", "front_2", "back_1")),
        (("class_1", "class_2", "class_3"), ("flip1", "flip2", "turn1", "turn2")),
        (("k1", "k2", "k3"), ("IMG_1", "IMG_2", "DSC_1", "DSC_2")),
    ],
)
def test_numbered_words_in_folders_of_kinds_are_no_doubt(
    kinds: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    fill(tmp_path, *(f"{kind}/{word}{letter}.png" for kind in kinds for word in words for letter in ("0", "1")))
    found = read_data_set(tmp_path)
    assert (found.classes, found.brought.doubts) == (tuple(sorted(kinds)), ())


@pytest.mark.parametrize("kinds", [("5_coin", "10_coin", "20_coin"), ("001.Crow", "002.Owl", "003.Tit"), "012"])
def test_numbered_words_in_folders_with_numbers_that_may_be_classes_are_a_doubt(
    kinds: tuple[str, ...] | str, tmp_path: Path
) -> None:
    fill(
        tmp_path,
        *(f"{kind}/{word}_{number}.png" for kind in kinds for word in ("old", "new") for number in range(4, 8)),
    )
    found = read_data_set(tmp_path)
    assert found.classes == tuple(sorted(kinds))
    (doubt,) = found.brought.doubts
    pattern = shlex.split(doubt.partition("--label-from ")[2])[0].rstrip(",")
    assert read_data_set(tmp_path, reading=Reading(label_from=pattern)).classes == ("new", "old")


def test_two_endings_in_one_folder_of_many_are_a_doubt(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{kind}/{number}.jpg" for kind in ("crow", "owl", "tit") for number in range(8)))
    fill(tmp_path, *(f"tit/{number}.png" for number in range(8)), *(f"jay/{number}.png" for number in range(9)))
    found = read_data_set(tmp_path)
    assert found.classes == ("crow", "jay", "owl", "tit")
    (doubt,) = found.brought.doubts
    assert "8 images" in doubt
    pattern = shlex.split(doubt.partition("--ignore ")[2])[0]
    taken = read_data_set(tmp_path, reading=Reading(ignore=(pattern,)))
    assert (taken.classes, sum(len(files.paths) for files in taken.splits.values())) == (found.classes, 33)


def test_what_is_left_out_beside_photographs_is_not_left_out_of_other_folders(tmp_path: Path) -> None:
    fill(
        tmp_path, *(f"{kind}/{number}.{end}" for kind in ("a[1]", "b") for number in range(8) for end in ("jpg", "png"))
    )
    fill(tmp_path, *(f"whole/{number}.png" for number in range(9)))
    words = shlex.split(refused(tmp_path).partition(" again. ")[2].partition(" takes")[0])
    found = read_data_set(tmp_path, reading=Reading(ignore=tuple(words[1::2])))
    assert found.classes == ("a[1]", "b", "whole")
    assert sum(len(files.paths) for files in found.splits.values()) == 25


@pytest.mark.parametrize("name", ["{:05}_{:05}.png", "shot{}-{:03}.png"])
def test_numbered_takes_of_numbered_scenes_in_every_folder_are_no_forms_of_the_same_images(
    name: str, tmp_path: Path
) -> None:
    names = [name.format(scene, take) for scene in range(3) for take in range(5)]
    fill(tmp_path, *(f"{kind}/{own}" for kind in ("crow", "owl") for own in names))
    assert read_data_set(tmp_path).classes == ("crow", "owl")
