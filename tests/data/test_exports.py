"""Tables as programs for labelling export them, and lists as scripts of people write them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from trees import refused, write

from hardener.config.reading import Reading
from hardener.data.data_set import DataSet, read_data_set

KINDS = ("cat", "cow", "dog")
COUNT = 24


def fill(root: Path, text: str, count: int = COUNT) -> list[str]:
    """Write images called by a number, and return their names."""
    names = [text.format(number) for number in range(count)]
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 7, 9)).save(root / name)
    return names


def kinds_by_number(found: DataSet) -> set[tuple[int, str]]:
    return {
        (int(re.findall(r"\d+", Path(path).stem)[-1]) % 3, found.classes[label])
        for files in found.splits.values()
        for path, label in zip(files.paths, files.labels, strict=True)
    }


RIGHT = set(enumerate(KINDS))


def a_store(root: Path, names: list[str]) -> None:
    rows = [f"AmlDatastore://space/UI/03/{Path(name).name},{KINDS[n % 3]},1.0" for n, name in enumerate(names)]
    write(root / "labels.csv", "Url,Label,LabelConfidence", *rows)


def a_manifest(root: Path, names: list[str]) -> None:
    told = [{"source-ref": f"s3://b/x/{name}", "job": n % 3, "job-metadata": {"class-name": KINDS[n % 3], "type": "t"}}
            for n, name in enumerate(names)]  # fmt: skip
    write(root / "out" / "output.manifest", *map(json.dumps, told))


def choices(root: Path, names: list[str]) -> None:
    rows = [f"{n},{1 + n % 2},{KINDS[n % 3]},/data/upload/3/{Path(name).name}" for n, name in enumerate(names)]
    write(root / "project-3.csv", "annotation_id,annotator,choice,image", *rows)


def objects_in_cells(root: Path, names: list[str]) -> None:
    rows = [f'{Path(name).name},"{{""disease"":""{KINDS[n % 3]}""}}",0,"{{}}"' for n, name in enumerate(names)]
    write(root / "via.csv", "filename,file_attributes,region_count,region_attributes", *rows)


def numbered_labels(root: Path, names: list[str]) -> None:
    told = {Path(name).stem: n % 3 for n, name in enumerate(names)}
    write(root / "labels.json", json.dumps({"classes": KINDS, "labels": told}))


def objects_by_name(root: Path, names: list[str]) -> None:
    write(root / "labels.json", json.dumps({Path(name).name: {"label": KINDS[n % 3]} for n, name in enumerate(names)}))


def tags(root: Path, names: list[str]) -> None:
    told = "".join(f'<image id="{n}" name="{Path(name).name}"><tag label="{KINDS[n % 3]}"/></image>'
                   for n, name in enumerate(names))  # fmt: skip
    write(root / "annotations.xml", f"<annotations><version>1.1</version>{told}</annotations>")


@pytest.mark.parametrize(
    "export",
    [a_store, a_manifest, choices, objects_in_cells, numbered_labels, objects_by_name, tags],
    ids=lambda way: way.__name__,
)
def test_what_programs_export_beside_images_is_read(export: object, tmp_path: Path) -> None:
    names = fill(tmp_path, "data/im{:03}.png")
    assert callable(export)
    export(tmp_path, names)
    assert kinds_by_number(read_data_set(tmp_path)) == RIGHT


def test_rows_that_begin_with_a_split_and_name_a_store_are_divided(tmp_path: Path) -> None:
    names = fill(tmp_path, "img/p{}.png")
    parts = ["TRAIN"] * 16 + ["VALIDATION"] * 4 + ["TEST"] * 4
    write(tmp_path / "all_data.csv", *(f"{parts[n]},gs://bucket/{name},{KINDS[n % 3]}" for n, name in enumerate(names)))
    found = read_data_set(tmp_path)
    assert kinds_by_number(found) == RIGHT
    assert [len(files) for files in found.splits.values()] == [16, 4, 4]


def test_of_columns_without_names_the_first_is_the_example_and_few_numbers_may_be_splits(tmp_path: Path) -> None:
    names = fill(tmp_path, "images/{}.png")
    write(tmp_path / "labels.txt", *(f"{Path(name).name} {n % 2} {1 + n // 9}" for n, name in enumerate(names)))
    text = refused(tmp_path)
    assert text.endswith("--label-column 2.")
    found = read_data_set(tmp_path / "labels.txt", reading=Reading(label_column="2"))
    assert found.classes == ("0", "1")
    (doubt,) = found.brought.doubts
    assert "is not used: if splits are told there, such as by '1', '2', '3', write" in doubt


def test_a_manifest_of_something_else_is_passed_over(tmp_path: Path) -> None:
    names = fill(tmp_path, "images/{}.png")
    write(tmp_path / "app.manifest", "<assembly/>")
    write(
        tmp_path / "labels.csv", "image,label", *(f"{Path(name).name},{KINDS[n % 3]}" for n, name in enumerate(names))
    )
    assert kinds_by_number(read_data_set(tmp_path)) == RIGHT


def test_a_column_without_a_name_that_repeats_the_classes_is_no_doubt(tmp_path: Path) -> None:
    names = fill(tmp_path, "images/{}.png")
    write(tmp_path / "labels.txt", *(f"{Path(name).name},{KINDS[n % 3]},{n % 3}" for n, name in enumerate(names)))
    found = read_data_set(tmp_path / "labels.txt", reading=Reading(label_column="2"))
    assert (found.classes, found.brought.doubts) == (KINDS, ())


def test_paths_that_begin_with_the_folders_own_name_count_from_above(tmp_path: Path) -> None:
    names = fill(tmp_path, "data/clips/c{:02}/a.png")
    fill(tmp_path, "data/clips/c{:02}/b.png")
    rows = [
        f"{name.replace('a.png', own)},{KINDS[n % 3]}" for n, name in enumerate(names) for own in ("a.png", "b.png")
    ]
    write(tmp_path / "data" / "lists" / "frames.csv", "path,label", *rows)
    words = shlex.split(refused(tmp_path / "data").partition("--data ")[2].partition(", or")[0])
    found = read_data_set(Path(words[0]), reading=Reading(images_root=words[2]))
    assert found.classes == KINDS


@pytest.mark.parametrize("head", [(), ("0",)])
def test_a_list_of_images_beside_one_of_classes_is_put_side_by_side_by_the_line(
    head: tuple[str, ...], tmp_path: Path
) -> None:
    names = [Path(name).stem for name in fill(tmp_path, "imgs/{}_left.png")]
    for split, own in (("train", names[:18]), ("test", names[18:])):
        write(tmp_path / f"{split}_img.csv", *head, *own)
        write(tmp_path / f"{split}_label.csv", *head, *(KINDS[int(name.partition("_")[0]) % 3] for name in own))
    text = refused(tmp_path)
    assert "as many lines" in text
    commands = text.partition("side by side: ")[2].partition(". Then")[0]
    subprocess.run(["bash", "-c", commands], check=True)
    words = shlex.split(text.partition("pass --data ")[2].removesuffix("."))
    found = read_data_set(Path(words[0]), test_root=Path(words[2]))
    assert kinds_by_number(found) == RIGHT
    assert (len(found.train) + len(found.validation), found.test is not None and len(found.test)) == (18, 6)


def test_tags_of_subsets_are_splits_and_images_of_several_are_left_out(tmp_path: Path) -> None:
    names = fill(tmp_path, "images/{}.png")
    told = ['<image name="0.png" subset="Train"><tag label="cat"/><tag label="dog"/></image>']
    told += [
        f'<image name="{n}.png" subset="{"Train" if n < 18 else "Test"}"><tag label="{KINDS[n % 3]}"/></image>'
        for n in range(1, len(names))
    ]
    write(tmp_path / "annotations.xml", "<annotations>", *told, "</annotations>")
    found = read_data_set(tmp_path)
    assert kinds_by_number(found) == RIGHT
    assert (len(found.train) + len(found.validation), found.test is not None and len(found.test)) == (17, 6)
