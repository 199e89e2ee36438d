"""Rows of tables that stand for several images each: clips in folders, and frames that lie flat."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image
from trees import refused, write

from hardener.config.reading import Reading
from hardener.data.data_set import DataSet, read_data_set

KINDS = ("left", "right", "stop")


def fill(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number % 251, number // 251, len(name))).save(root / name)
    return root


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


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("class_{}", "class,label|class_{},{kind}"),
        ("{}", "label,type|{},{kind}"),
        ("n0144076{}", "wnid,kind|n0144076{},{kind}"),
        ("b{}", "id,name,type|b{},the {word},{kind}"),
        ("person{}", "id,gender|person{},{kind}"),
        ("kind{}", "folder,source|kind{},{kind}"),
        ("class_{}", "class_{} {kind}"),
    ],
)
def test_a_table_of_classes_with_numbers_is_a_doubt_and_no_list_of_clips(name: str, rows: str, tmp_path: Path) -> None:
    names = [name.format(number) for number in range(10)]
    fill(tmp_path, *(f"{own}/{number}.png" for own in names for number in range(8)))
    *header, row = rows.split("|")
    cells = [row.format(number, kind="ab"[number % 2] * 3, word="stuvwxyzab"[number] * 3) for number in range(10)]
    write(tmp_path / "table.csv", *header, *cells)
    found = read_data_set(tmp_path)
    assert found.classes == tuple(names)
    (doubt,) = found.brought.doubts
    assert "tells of folders of images" in doubt
    assert typed(doubt.replace(" takes their", ", or ")).classes == ("aaa", "bbb")


def test_the_name_of_each_folder_in_json_is_kept_where_it_has_another(tmp_path: Path) -> None:
    told = {f"kind{number}": {"name": f"the {number}", "type": "ab"[number % 2] * 3} for number in range(10)}
    fill(tmp_path, *(f"{own}/{number}.png" for own in told for number in range(8)))
    write(tmp_path / "info.json", json.dumps(told))
    (doubt,) = read_data_set(tmp_path).brought.doubts
    assert typed(doubt.replace(" takes their", ", or ")).classes == ("aaa", "bbb")


def test_a_few_folders_with_numbers_are_no_clips(tmp_path: Path) -> None:
    fill(tmp_path, *(f"k{kind}/{number}.png" for kind in range(6) for number in range(8)))
    write(tmp_path / "colors.txt", *(f"k{kind} {255 * (kind % 2)} 0 0" for kind in range(6)))
    (doubt,) = read_data_set(tmp_path).brought.doubts
    assert "colors.txt tells of folders of images (k0)" in doubt


def test_a_table_of_one_mark_of_some_folders_is_no_doubt(tmp_path: Path) -> None:
    fill(tmp_path, *(f"k{kind}/{number}.png" for kind in range(6) for number in range(8)))
    write(tmp_path / "colors.txt", *(f"k{kind} 255 {kind % 2} 0" for kind in range(6)))
    assert read_data_set(tmp_path).brought.doubts == ()


def test_figures_of_classes_in_json_are_no_doubt(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{kind}/{number}.png" for kind in (*KINDS, "go") for number in range(8)))
    write(
        tmp_path / "report.json", json.dumps({kind: {"recall": 1, "support": len(kind) % 2} for kind in (*KINDS, "go")})
    )
    assert read_data_set(tmp_path).brought.doubts == ()


def test_classes_of_what_frames_are_called_after_are_a_doubt_beside_class_folders(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{KINDS[part % 2]}/eye{part}x_{each}.png" for part in range(9) for each in range(3)))
    write(tmp_path / "patients.csv", "patient,diagnosis", *(f"eye{part}x,{KINDS[part % 3]}" for part in range(9)))
    (doubt,) = read_data_set(tmp_path).brought.doubts
    assert "patients.csv tells of images by what they are called after (eye0x)" in doubt
    assert typed(doubt.replace(" takes their", ", or ")).classes == KINDS


@pytest.mark.parametrize("patients", [True, False])
def test_what_is_told_of_patients_or_scans_below_classes_is_no_doubt(patients: bool, tmp_path: Path) -> None:
    scan = "{kind}/scan{number}_{slice}.png" if patients else "{kind}/scan{number}/{slice}.png"
    fill(
        tmp_path,
        *(scan.format(kind=KINDS[part % 2], number=part, slice=each) for part in range(8) for each in range(3)),
    )
    write(
        tmp_path / "scans.csv", "scan,age,device", *(f"scan{number},{30 + number},{number // 4}" for number in range(8))
    )
    assert read_data_set(tmp_path).brought.doubts == ()


def test_a_large_file_that_names_no_folder_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, *(f"{kind}/{number}.png" for kind in KINDS for number in range(8)))
    write(tmp_path / "log.json", json.dumps([{"step": number, "loss": number} for number in range(90, 99)]))
    read: list[str] = []
    monkeypatch.setattr("hardener.data.layouts._beside.read_table", lambda name, _: read.append(name))
    assert read_data_set(tmp_path).brought.doubts == ()
    assert read == []


def test_a_text_whose_first_word_is_long_names_no_folder(tmp_path: Path) -> None:
    assert "no source of images knows" in refused(write(tmp_path / "essay.txt", "word" * 200 + " and more"))
