"""Folders of persons, cameras and years: a field of the files' names may tell the class, or they are the classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from test_two_readings import count, fill, read, refusal, typed


def eyes(root: Path, folder: str, name: str) -> Path:
    """Put images of six folders into files whose names tell an eye's state, and what one folder has alone."""
    for person in range(1, 7):
        for number in range(12):
            own = name.format(person=person, number=number, sex=person % 2, state=number % 2, word="oc"[number % 2])
            path = root / folder.format(person) / own
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (person, number, 7)).save(path)
    return root


@pytest.mark.parametrize(
    ("folder", "name", "classes"),
    [
        ("data/mrlEyes/s{:04}", "s{person:04}_{number:05}_{sex}_0_{state}_01.png", ("0", "1")),
        ("subject{:02}", "{word}_{number:03}.png", ("c", "o")),
        ("person_{:02}", "img-{number}-{word}.png", ("c", "o")),
        ("patient{}", "{number:03}_{state}.png", ("0", "1")),
        ("P{:02}", "P{person:02}_{state}_{number:02}.png", ("0", "1")),
        ("train/user_{}", "u_{number:03}_{word}.png", ("c", "o")),
        ("cam{}", "{word}_{number}.png", ("c", "o")),
        ("201{}", "{word}_{number}.png", ("c", "o")),
    ],
)
def test_a_field_of_names_that_crosses_persons_is_read_by_the_line(
    folder: str, name: str, classes: tuple[str, ...], tmp_path: Path
) -> None:
    message = refusal(eyes(tmp_path / "d", folder, name))
    (line, depth) = typed(message)
    assert read(tmp_path / "d", line).classes == classes
    assert count(read(tmp_path / "d", line)) == 72
    assert len(read(tmp_path / "d", depth).classes) == 6
    assert read(tmp_path / "d", depth).brought.doubts == ()


@pytest.mark.parametrize(
    "folder",
    ["s{}", "subject{:02}", "person_{:02}", "actor_{:02}", "participant{}", "cam{}", "train/patient{:05}/study1"],
)
def test_persons_that_no_field_crosses_are_told_and_taken(folder: str, tmp_path: Path) -> None:
    root = eyes(tmp_path / "d", folder, "{number}.png")
    assert len(read(root, {}).classes) == 6
    (doubt,) = read(root, {}).brought.doubts
    assert "are taken for the classes" in doubt
    assert read(root, typed(doubt)[0]).brought.doubts == ()


@pytest.mark.parametrize(
    "names",
    [
        "class_1 class_2 class_3",
        "0 1 2",
        "n01440764 n01443537 n01484850",
        "grade1 grade2 grade3",
        "s1 s2 s3",
        "a1 b2 c3",
    ],
)
def test_numbered_classes_are_classes_without_a_word(names: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *names.split(), name="img_{}_left")
    assert read(root, {}).brought.doubts == ()
