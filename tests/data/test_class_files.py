"""Files beside a table of numbers that name its classes: told, and the numbers stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_tables_beside import fill, numbered
from trees import classes, write

from hardener.data.data_set import read_data_set

FILES = {
    "classes.txt": "1 cat\n2 dog",
    "class_names.csv": "id,name\n1,cat\n2,dog",
    "label_map.json": '{"1": "cat", "2": "dog"}',
    "class_to_idx.json": '{"cat": 1, "dog": 2}',
    "idx_to_name.pbtxt": "item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n  name: 'dog'\n}",
    "labels.names": "cat\ndog",
}


def told(root: Path) -> list[str]:
    found = read_data_set(root)
    assert found.classes == ("1", "2")
    return [note for note in found.brought.notes if "seems to name them" in note]


@pytest.mark.parametrize("name", FILES)
def test_names_of_numbered_classes_are_told(name: str, tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    write(tmp_path / "table.csv", "image,label", *(f"{number:03}.png,{number % 2 + 1}" for number in range(24)))
    write(tmp_path / name, FILES[name])
    for root in (tmp_path, tmp_path / "table.csv"):
        assert "1 cat, 2 dog" in told(root)[0]


@pytest.mark.parametrize("text", ["cat\ndog\ncow", "3 cat\n4 dog", "notes on how it was made"])
def test_what_names_other_classes_is_not_told(text: str, tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    write(tmp_path / "table.csv", "image,label", *(f"{number:03}.png,{number % 2 + 1}" for number in range(24)))
    write(tmp_path / "classes.txt", text)
    assert told(tmp_path) == []


@pytest.mark.parametrize("file", ["classes.txt", "Klassen.txt", "class_names.csv"])
def test_names_of_numbered_folders_are_told_too(file: str, tmp_path: Path) -> None:
    root = classes(tmp_path / "d", "train/1", "train/2", "test/1", "test/2")
    write(root / file, "1: bolt", "2: nut")
    found = read_data_set(root)
    assert found.classes == ("1", "2")
    (note,) = found.brought.notes
    assert note.endswith(f"{file} seems to name them: 1 bolt, 2 nut. To see names instead, rename the folders")
