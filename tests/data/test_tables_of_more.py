"""Tables that hold more than classes: places, sizes, splits without a known name; and others about fewer images."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from trees import fill, refused, write

from hardener.cli.options import asked_reading
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import DataSet, read_data_set
from hardener.errors import HardenerError

COUNT = 12


def read_with(words: list[str]) -> DataSet:
    told = dict(zip(words[::2], words[1::2], strict=True))
    folder = told.get("--images-root")
    columns = (told.get("--path-column"), told.get("--label-column"), None)
    reading = asked_reading(None, None, None, columns, Path(folder) if folder else None)
    return read_data_set(
        Path(told["--data"]),
        reading=reading or AS_FOUND,
        validation_root=Path(told["--val"]) if "--val" in told else None,
        test_root=Path(told["--test"]) if "--test" in told else None,
    )


def images(root: Path, folder: str = "images", count: int = COUNT) -> list[str]:
    names = [f"{number:03}.png" for number in range(count)]
    fill(root, *(f"{folder}/{name}" for name in names))
    return names


@pytest.mark.parametrize("measure", ["righteye_x", "OriginalImage[Width", "y]", "box.x1", "height"])
def test_a_place_or_a_size_is_no_class(measure: str, tmp_path: Path) -> None:
    rows = [f"{name},{'ab'[place % 2]},{10 + place % 3}" for place, name in enumerate(images(tmp_path))]
    write(tmp_path / "t.csv", f"image,shade,{measure}", *rows)
    assert read_data_set(tmp_path).classes == ("a", "b")


def test_a_size_in_words_is_a_class(tmp_path: Path) -> None:
    rows = [f"{name},{('tall', 'short')[place % 2]}" for place, name in enumerate(images(tmp_path))]
    write(tmp_path / "t.csv", "image,height", *rows)
    assert read_data_set(tmp_path).classes == ("short", "tall")


def test_a_column_of_nothing_but_splits_is_one_whatever_its_name(tmp_path: Path) -> None:
    splits = ["training"] * 8 + ["validation"] * 2 + ["test"] * 2
    rows = [f"{name},{'ab'[place % 2]},{splits[place]}" for place, name in enumerate(images(tmp_path))]
    write(tmp_path / "t.csv", "image,shade,ml_use", *rows)
    found = read_data_set(tmp_path)
    assert found.classes == ("a", "b")
    assert {split: len(files) for split, files in found.splits.items()} == {"train": 8, "validation": 2, "test": 2}


def test_a_list_of_images_elsewhere_divides_none_of_the_same_names(tmp_path: Path) -> None:
    rows = [f"{name},{'ab'[place % 2]}" for place, name in enumerate(images(tmp_path, "train"))]
    write(tmp_path / "Training_set.csv", "filename,label", *rows)
    write(tmp_path / "Testing_set.csv", "filename", *images(tmp_path, "test", 5))
    found = read_data_set(tmp_path)
    assert sum(map(len, found.splits.values())) == COUNT
    assert any(doubt.startswith("Testing_set.csv seems to tell splits") for doubt in found.brought.doubts)


def test_a_table_of_a_few_images_does_not_stand_for_one_of_all(tmp_path: Path) -> None:
    names = images(tmp_path)
    write(
        tmp_path / "boxes.csv",
        "image,label,x",
        *(f"{name},{'ab'[place % 2]},3" for place, name in enumerate(names[:4])),
    )
    write(
        tmp_path / "entries.csv",
        "image,Finding Labels,age,view",
        *(f"{name},{'ab'[place % 2]},{place % 4},{'pq'[place % 3 == 0]}" for place, name in enumerate(names)),
    )
    message = refused(tmp_path)
    words = shlex.split(message.partition(" Name it: pass --data ")[2].removesuffix("."))
    assert words == [f"{tmp_path}/entries.csv", "--label-column", "Finding Labels"]
    found = read_data_set(Path(words[0]), reading=Reading(label_column=words[2]))
    assert sum(map(len, found.splits.values())) == COUNT


@pytest.mark.parametrize("folder", ["images/", ""])
@pytest.mark.parametrize("splits", ["train val", "seen judged", "train_50 val_50"])
def test_names_that_stand_in_each_split_are_those_beside_the_table(folder: str, splits: str, tmp_path: Path) -> None:
    first, second = splits.split()
    for split in (first, second):
        names = [f"{number}.png" for number in range(5, 5 + COUNT)]
        fill(tmp_path, *(f"{split}/{folder}{name}" for name in names))
        write(tmp_path / split / "info.csv", "filename,label", *(f"{name},{'ab'[len(name) % 2]}" for name in names))
    if first != "seen":
        found = read_data_set(tmp_path)
        assert len(found.train) == COUNT
        assert {name.split("/")[0] for name in found.validation.paths} == {second}
        assert len(found.validation) == COUNT
    table = tmp_path / second / "info.csv"
    found = read_data_set(table, reading=Reading(images_root=str(tmp_path)))
    assert {name.split("/")[0] for files in found.splits.values() for name in files.paths} == {second}


def test_a_split_whose_images_are_gone_does_not_take_those_of_another(tmp_path: Path) -> None:
    for split in ("train", "val"):
        names = images(tmp_path, f"{split}/images")
        write(tmp_path / split / "info.csv", "filename,label", *(f"{name},{'ab'[int(name[2]) % 2]}" for name in names))
    shutil.rmtree(tmp_path / "val/images")
    assert f"{COUNT} images stand in two splits, train and validation" in refused(tmp_path)
    assert "put the images of each split beside its own table" in refused(tmp_path)


def test_a_table_like_the_one_that_is_read_is_told_of_where_its_images_are_gone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [f"{name}{own},{'xy'[place % 2]}" for place, own in enumerate(images(tmp_path, "images"))]
        write(tmp_path / f"{name}.csv", "filename,label", *rows)
    fill(tmp_path, *(f"images/a{number:03}.png" for number in range(COUNT)))
    (doubt,) = (own for own in read_data_set(tmp_path).brought.doubts if own.startswith("b.csv"))
    assert "is a table like a.csv and is not used: most images that it names are not there" in doubt
    assert read_data_set(tmp_path, reading=Reading(ignore=("b.csv",))).brought.doubts == ()


def test_a_table_whose_names_stand_in_several_folders_is_told_of(tmp_path: Path) -> None:
    names = [f"i{number}" for number in range(COUNT)]
    fill(tmp_path, *(f"{folder}/{name}.png" for folder in ("a", "b") for name in names))
    write(tmp_path / "labels.csv", "image,kind", *(f"{name},{'xy'[place % 2]}" for place, name in enumerate(names)))
    (doubt,) = read_data_set(tmp_path).brought.doubts
    assert doubt.startswith("labels.csv is not used: its i0 may be a/i0.png or b/i0.png.")
    assert read_data_set(tmp_path, reading=Reading(ignore=("labels.csv",))).brought.doubts == ()


def coco(path: Path, names: list[str], boxes: int = 2) -> Path:
    images = [{"id": f"i{place}", "file_name": name, "width": 4, "height": 4} for place, name in enumerate(names)]
    told = [
        {"id": 9 * place + box, "image_id": f"i{place}", "category_id": place % 2, "bbox": [0, 0, 2 + box, 2]}
        for place in range(len(names))
        for box in range(boxes)
    ]
    kinds = [{"id": number, "name": name} for number, name in enumerate(("cat", "dog"))]
    return write(path, json.dumps({"images": images, "annotations": told, "categories": kinds}))


def test_boxes_of_one_class_in_each_image_are_taken_whole_as_the_line_says(tmp_path: Path) -> None:
    names = images(tmp_path, "all", 36)
    for split, own in (("train", names[:24]), ("val", names[24:30]), ("cis_val", names[24:30]), ("test", names[30:])):
        coco(tmp_path / f"lists/{split}_annotations.json", own)
    words = shlex.split(refused(tmp_path).partition("Pass one, ")[2].partition(", or ")[0])
    found = read_with(words)
    assert (found.classes, len(found.train), len(found.validation)) == (("cat", "dog"), 24, 6)
    with pytest.raises(HardenerError, match="Whole images are taken by --label-column category") as no:
        read_data_set(tmp_path / "lists/train_annotations.json", reading=Reading(images_root="/there"))
    assert "-classes --images-root /there; then pass" in str(no.value)


def test_a_csv_file_that_blanks_part_is_a_table(tmp_path: Path) -> None:
    rows = [
        f"images/{name}  {place % 4 / 3}   {('mono', 'poly')[place % 2]}"
        for place, name in enumerate(images(tmp_path, count=40))
    ]
    write(tmp_path / "labels.csv", *rows)
    found = read_with(shlex.split(refused(tmp_path).partition("pass ")[2].removesuffix(".")))
    assert found.classes == tuple(sorted({str(place % 4 / 3) for place in range(40)}))


def test_a_list_of_many_figures_is_a_table_whose_last_is_offered(tmp_path: Path) -> None:
    names = images(tmp_path, "image/origin", 42)
    rows = [f"{name} 0 {place % 9} {place % 7} 5{place % 3}.25 {place % 2}" for place, name in enumerate(names)]
    write(tmp_path / "label/label.lst", *rows)
    found = read_with(shlex.split(refused(tmp_path).partition("pass ")[2].removesuffix(".")))
    assert found.classes == ("0", "1")


def test_a_few_lines_with_a_comma_too_many_are_left_out_and_said(tmp_path: Path) -> None:
    names = images(tmp_path, count=40)
    rows = [f"{name},{'ab'[place % 2]},Shirt{', blue' if place == 9 else ''}" for place, name in enumerate(names)]
    write(tmp_path / "styles.csv", "id,label,title", *rows)
    found = read_data_set(tmp_path)
    assert sum(len(files) for files in found.splits.values()) == 39
    assert "1 line of" in found.brought.doubts[0]
    assert "(11) and is left out" in found.brought.doubts[0]
    write(tmp_path / "styles.csv", "id,label,title", *(f"{row}, more" for row in rows[:5]), *rows[5:])
    assert "has 4 cells, and its header 3" in refused(tmp_path)


@pytest.mark.parametrize("form", ["2023-{0:02}-11", "11/{0}/2023", "2023.{0}.1 10:30:00"])
def test_days_are_no_classes(form: str, tmp_path: Path) -> None:
    names = [f"{label}{place}.png" for label in ("cat", "dog") for place in range(COUNT)]
    fill(tmp_path, *(f"{name[:3]}/{name}" for name in names))
    write(
        tmp_path / "seen.csv",
        "image,heat,date",
        *(f"{name},{n}.5,{form.format(n % 6 + 1)}" for n, name in enumerate(names)),
    )
    assert read_data_set(tmp_path).classes == ("cat", "dog")


def test_label_studios_whole_export_is_read(tmp_path: Path) -> None:
    names = images(tmp_path, "images", 24)
    tasks: list[dict[str, Any]] = [
        {
            "id": place,
            "data": {"image": f"/data/upload/3/{name}"},
            "annotations": [
                {"was_cancelled": False, "result": [{"from_name": "choice", "value": {"choices": ["ab"[place % 2]]}}]},
                {"was_cancelled": True, "result": [{"from_name": "choice", "value": {"choices": ["skipped"]}}]},
            ],
        }
        for place, name in enumerate(names)
    ]
    for own in tasks[:2]:  # another answered otherwise
        own["annotations"].append({"result": [{"from_name": "choice", "value": {"choices": ["c"]}}]})
    write(tmp_path / "project-3.json", json.dumps(tasks))
    found = read_data_set(tmp_path)
    assert found.classes == ("a", "b")
    assert sum(len(files) for files in found.splits.values()) == 22


@pytest.mark.parametrize("ignore", [(), ("annotations",), ("*.xml",)])
def test_class_folders_beside_xml_files_of_boxes_are_class_folders(ignore: tuple[str, ...], tmp_path: Path) -> None:
    for split in ("train", "validation"):
        for kind in ("crazing", "patches"):
            for place in range(4):
                fill(tmp_path, f"{split}/images/{kind}/{kind}_{place}.png")
                box = f"<object><name>{kind}</name></object>"
                write(tmp_path / f"{split}/annotations/{kind}_{place}.xml", f"<annotation>{box}</annotation>")
    found = read_data_set(tmp_path, reading=Reading(ignore=ignore))
    assert (found.classes, len(found.train), len(found.validation)) == (("crazing", "patches"), 8, 8)


def test_files_of_boxes_that_are_left_out_tell_nothing(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        names = images(tmp_path, f"images/{kind}", 8)
        for name in names:
            write(tmp_path / f"annotations/{kind}{name}.xml", "<annotation/>")
    write(tmp_path / "annotations/000.xml", "<annotation/>")
    fill(tmp_path, "images/000.png")
    assert "hardener convert" in refused(tmp_path)
    found = read_data_set(tmp_path, reading=Reading(ignore=("annotations", "images/000.png")))
    assert found.classes == ("cat", "dog")
