"""Folders of a class that stand twice: copies, forms, and a set inside itself."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from trees import classes

from hardener.cli.options import asked_reading
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import read_data_set, read_source
from hardener.errors import HardenerError


def line_of(root: Path, option: str) -> Reading:
    """Return the reading that the refusal's own line asks for."""
    with pytest.raises(HardenerError) as caught:
        read_data_set(root)
    words = shlex.split(re.split(rf"(?=--{option})", str(caught.value), maxsplit=1)[1])
    given = [words[place + 1] for place, word in enumerate(words) if word == f"--{option}"]
    if option == "ignore":
        return asked_reading(given, None, None) or AS_FOUND
    return asked_reading([], None, given[0]) or AS_FOUND


@pytest.mark.parametrize(
    "names",
    [
        ("cats", "dogs", "cats - Copy"),
        ("cats", "dogs", "cats - Copy (2)"),
        ("cats", "dogs", "Cats copy"),
        ("cats", "dogs", "cats (copy)", "dogs (another copy)"),
        ("cats", "dogs", "Copy of cats"),
        ("cats", "dogs", "cats (1)"),
        ("cats", "dogs", "dogs_backup"),
        ("cats", "dogs", "cats - Kopie"),
        ("cats", "cats_resized", "dogs", "dogs_resized"),
        ("cats", "cats_resized_224", "dogs", "dogs_resized_224"),
        ("cats", "augmented_cats", "dogs", "augmented_dogs"),
        ("cats", "dogs", "pets/cats", "pets/dogs"),
        ("pets/cats", "pets/dogs", "pets/pets/cats", "pets/pets/dogs"),
    ],
)
def test_what_stands_twice_is_refused_and_the_line_leaves_it_out(names: tuple[str, ...], tmp_path: Path) -> None:
    root = classes(tmp_path / "data", *names)
    found = read_data_set(root, reading=line_of(root, "ignore"))
    assert set(found.classes) == {"cats", "dogs"}
    assert len(found.train) + len(found.test or ()) <= 8


def test_a_set_inside_itself_that_holds_more_is_taken_together_by_the_other_line(tmp_path: Path) -> None:
    root = classes(tmp_path / "data", "cat", "dog", "more/cat", "more/dog", "more/cow")
    assert set(read_data_set(root, reading=line_of(root, "label-from")).classes) == {"cat", "dog", "cow"}


@pytest.mark.parametrize(
    "names",
    [
        ("copy", "original", "print"),
        ("photo", "photocopy", "scan"),
        ("rose (1)", "tulip"),
        ("class 1", "class 2"),
        ("raw_meat", "cooked_meat"),
        ("gray wolf", "wolf", "gray fox", "fox"),
        ("cat/indoor", "cat/outdoor", "dog"),
    ],
)
def test_names_that_are_no_copies_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    found = read_data_set(classes(tmp_path / "data", *names))
    assert set(found.classes) == {name.partition("/")[0] for name in names}


def test_one_folder_that_may_be_a_form_of_a_class_is_a_class_with_a_word(tmp_path: Path) -> None:
    found = read_source(classes(tmp_path / "data", "fox", "fox_gray", "wolf"), AS_FOUND)
    (doubt,) = found.doubts
    assert doubt.startswith("fox_gray/ may hold the images of fox/ in another form")
    assert doubt.endswith("--ignore fox_gray leaves it out")


def test_parts_of_one_set_beside_another_folder_are_no_classes(tmp_path: Path) -> None:
    root = classes(tmp_path / "data", "box_train", "box_test", "query")
    with pytest.raises(HardenerError, match="box_test, box_train below .* look like the splits of one set"):
        read_data_set(root)
    found = read_data_set(root, reading=Reading(class_depth=1))
    assert set(found.classes) == {"box_train", "box_test", "query"}
