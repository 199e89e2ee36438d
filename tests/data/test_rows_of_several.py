"""Rows of tables that stand for several images each: clips in folders, and frames that lie flat."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

from hardener.config.reading import Reading
from hardener.data.data_set import DataSet, read_data_set
from hardener.errors import HardenerError

KINDS = ("left", "right", "stop")


def fill(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number % 251, number // 251, len(name))).save(root / name)
    return root


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def refused(root: Path) -> str:
    with pytest.raises(HardenerError) as caught:
        read_data_set(root)
    return str(caught.value)


def typed(text: str) -> DataSet:
    """Read data by the options that a message prints, up to its first comma."""
    words = shlex.split(text.partition("--data ")[2].split(", or ")[0])
    asked = dict(zip(words[1::2], words[2::2], strict=True))
    validation = asked.pop("--val", None)
    reading = Reading.model_validate({key[2:].replace("-", "_"): value for key, value in asked.items()})
    return read_data_set(
        Path(words[0]), reading=reading, validation_root=None if validation is None else Path(validation)
    )


def clips(found: DataSet) -> list[set[str]]:
    """Return the folders of each split's images."""
    return [{Path(path).parent.name for path in files.paths} for files in found.splits.values()]


def kinds_of(found: DataSet) -> set[tuple[str, str]]:
    """Return the folder and the class of each image."""
    return {
        (Path(path).parent.name, found.classes[label])
        for files in found.splits.values()
        for path, label in zip(files.paths, files.labels, strict=True)
    }


@pytest.mark.parametrize("mark", [" ", ";"])
def test_a_list_of_clips_is_no_litter_and_its_line_reads_them_whole(mark: str, tmp_path: Path) -> None:
    names = [f"take{number:02}" for number in range(12)]
    fill(tmp_path, *(f"{name}/{frame}.png" for name in names for frame in range(3)))
    rows = [mark.join((name, KINDS[number % 3], str(number // 4))) for number, name in enumerate(names)]
    write(tmp_path / "annotations.txt", *rows)
    text = refused(tmp_path)
    assert "folders that are hardly their classes" in text
    found = typed(text)
    assert kinds_of(found) == {(name, KINDS[number % 3]) for number, name in enumerate(names)}, "the first row is one"
    train, validation, test = clips(found)
    assert len(train) + len(validation) + len(test) == len(train | validation | test)


def test_lists_of_clips_of_two_splits_are_named_together(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("val", 20)):
        names = [f"take{start + number:02}" for number in range(9)]
        fill(tmp_path, *(f"{split}/{name}/{frame}.png" for name in names for frame in range(2)))
        write(tmp_path / f"{split}.csv", *(f"{name};{KINDS[place % 3]}" for place, name in enumerate(names)))
    found = typed(refused(tmp_path))
    assert found.classes == KINDS
    assert len(found.validation) == 18


def test_a_table_of_folders_with_words_for_names_is_a_doubt(tmp_path: Path) -> None:
    names = ("beaver", "dolphin", "trout", "shark")
    fill(tmp_path, *(f"{name}/{number}.png" for name in names for number in range(8)))
    write(tmp_path / "taxa.csv", "class,family", "beaver,mammal", "dolphin,mammal", "trout,fish", "shark,fish")
    found = read_data_set(tmp_path)
    assert found.classes == tuple(sorted(names))
    (doubt,) = found.brought.doubts
    assert "taxa.csv tells of folders of images (beaver)" in doubt
    assert typed(doubt.replace(" takes their", ", or ")).classes == ("fish", "mammal")


def test_names_of_the_class_folders_themselves_are_no_doubt(tmp_path: Path) -> None:
    fill(tmp_path, *(f"n0{kind}/{number}.png" for kind in range(3) for number in range(8)))
    write(tmp_path / "words.txt", "n00 tench", "n01 goldfish", "n02 shark")
    assert read_data_set(tmp_path).brought.doubts == ()


def test_frames_that_lie_flat_have_the_class_of_their_video_and_stay_together(tmp_path: Path) -> None:
    videos = [f"{letter}{letter}xy" for letter in "abcdefghijkl"]
    fill(tmp_path, *(f"faces/{name}_{frame}.png" for name in videos for frame in range(3)))
    told = {f"{name}.mp4": {"label": "FAKE" if place % 2 else "REAL"} for place, name in enumerate(videos)}
    write(tmp_path / "metadata.json", json.dumps(told))
    found = read_data_set(tmp_path)
    assert found.classes == ("FAKE", "REAL")
    parts = [{Path(path).name[:4] for path in files.paths} for files in found.splits.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12


def test_lists_of_deeper_folders_of_two_splits_are_one_doubt_with_one_line(tmp_path: Path) -> None:
    rows: dict[str, list[str]] = {}
    for split, first in (("train", 0), ("valid", 20)):
        for part in ("elbow", "hand"):
            for number in range(first, first + 6):
                study = f"{split}/{part}/p{part[0]}{number}/s"
                fill(tmp_path, *(f"{study}/{frame}.png" for frame in range(2)))
                rows.setdefault(split, []).append(f"{study}/,{number % 2}")
        write(tmp_path / f"{split}_studies.csv", *rows[split])
    found = read_data_set(tmp_path)
    (doubt,) = [own for own in found.brought.doubts if "tell of folders of images" in own]
    taken = typed(doubt.replace(" takes their", ", or "))
    assert (taken.classes, len(taken.validation)) == (("0", "1"), 24)
