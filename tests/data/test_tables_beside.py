"""Tables and lists beside images that lie in folders which are no classes, or only a part of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from trees import refused

from hardener.config.reading import Reading
from hardener.data.data_set import DataSet, read_data_set, read_source
from hardener.errors import HardenerError


def fill(root: Path, *names: str) -> None:
    """Write images that differ, some of them by their folders alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        color = (sum(name.encode()) % 251, len(name), sum(map(int, filter(str.isdigit, name))) % 251)
        Image.new("RGB", (4, 4), color).save(root / name)


def numbered(folder: str, start: int, end: int) -> list[str]:
    return [f"{folder}/{number:03}.png" for number in range(start, end)]


def write(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows] if header else rows))


def kinds(start: int, end: int, text: str = "{:03},{}") -> list[str]:
    return [text.format(number, "cat" if number % 2 else "dog") for number in range(start, end)]


def read_as_advised(text: str) -> DataSet:
    """Read data by the options that a message prints, up to its first comma, or its end."""
    words = shlex.split(text.partition("--data ")[2].split(", or ")[0].removesuffix("."))
    asked = dict(zip(words[1::2], words[2::2], strict=True))
    validation, test = asked.pop("--val", None), asked.pop("--test", None)
    return read_data_set(
        Path(words[0]),
        reading=Reading.model_validate({key[2:].replace("-", "_"): value for key, value in asked.items()}),
        validation_root=Path(validation) if validation else None,
        test_root=Path(test) if test else None,
    )


def sizes(found: DataSet) -> dict[str, int]:
    return {split: len(files) for split, files in found.splits.items()}


def labels_by_number(found: DataSet) -> set[tuple[bool, str]]:
    """Return what classes images of odd and of even numbers have."""
    return {
        (bool(int("".join(filter(str.isdigit, Path(path).stem))) % 2), found.classes[label])
        for files in found.splits.values()
        for path, label in zip(files.paths, files.labels, strict=True)
    }


def a_test_without_classes(root: Path) -> None:
    fill(root, *numbered("scans", 0, 24), *numbered("challenge", 90, 110))
    write(root / "labels.csv", "id,label", kinds(0, 24))


def masks(root: Path) -> None:
    fill(root, *numbered("scans", 0, 24), *(f"outlines/{number:03}_outline.png" for number in range(24)))
    write(root / "labels.csv", "id,label", kinds(0, 24))


def below(root: Path) -> None:
    fill(root, *numbered("Image/original", 0, 24), *(f"Image/aligned/{n:03}_aligned.png" for n in range(24)))
    write(root / "Labels" / "list_of_labels.txt", "", kinds(0, 24, "{:03}.png {}"))


def nested(root: Path) -> None:
    fill(root, *numbered("one/photos/cat", 0, 12), *numbered("one/photos/dog", 12, 24), *numbered("two/photos", 50, 60))
    write(root / "one" / "photos" / "truth.csv", "", kinds(0, 24, "{:03}.png,{}"))


def two_tables(root: Path) -> None:
    fill(root, *numbered("S_Train_Input", 0, 24), *numbered("S_Test_Input", 90, 100))
    for name, start, end in (("Train", 0, 24), ("Test", 90, 100)):
        rows = [f"{number:03},{number % 2}.0,{1 - number % 2}.0" for number in range(start, end)]
        write(root / f"S_{name}_Truth.csv", "image,cat,dog", rows)


def of_json(root: Path) -> None:
    fill(root, *numbered("first", 0, 12), *numbered("second", 12, 24))
    write(root / "labels.json", "", ["{", ",\n".join(kinds(0, 24, '"{:03}.png": "{}"')), "}"])


def another_column(root: Path) -> None:
    fill(root, *numbered("fold", 0, 12), *numbered("phase2", 0, 24), *numbered("phase3", 0, 24))
    write(root / "phase2.csv", "Patient_ID,new_names,labels", kinds(0, 24, "p9{0:03}.png,{0:03}.png,{1}"))


@pytest.mark.parametrize("tell", [a_test_without_classes, masks, below, nested, two_tables, of_json, another_column])
def test_a_table_that_tells_other_classes_than_folders_is_named_and_the_advice_reads_it(
    tell: Callable[[Path], None], tmp_path: Path
) -> None:
    tell(tmp_path)
    text = refused(tmp_path)
    assert "tells other classes of the images than their folders do: 2 (cat, dog)" in text
    found = read_as_advised(text)
    assert labels_by_number(found) == {(True, "cat"), (False, "dog")}
    assert ("test" in found.drawn) is (tell is not two_tables)
    ignored = shlex.split(text.partition(", or the folders by ")[2].removesuffix("."))[1::2]
    assert read_source(tmp_path, Reading(ignore=tuple(ignored))).kind == "image-folder"


def test_a_table_whose_column_of_classes_is_not_known_is_named_where_folders_are_parts(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("a. Training Set/x", 0, 24), *numbered("b. Testing Set/x", 30, 40))
    for name, start, end in (("Training", 0, 24), ("Testing", 30, 40)):
        rows = kinds(start, end, "{0:03},{1},{0:03}")
        rows = [f"{row.rpartition(',')[0]},{number % 3}" for number, row in enumerate(rows)]
        write(tmp_path / "tables" / f"{name} Labels.csv", "Image name,Grade found,Risk", rows)
    text = refused(tmp_path)
    assert "Grade found (2 values: cat, dog), Risk (3 values: 0, 1, …)" in text
    found = read_as_advised(text)
    assert (found.classes, len(found.train) + len(found.validation)) == (("cat", "dog"), 24)
    assert found.test is not None
    assert len(found.test) == 10


@pytest.mark.parametrize("columns", ["camera,place", "sex,age group"])
def test_a_table_of_other_things_beside_class_folders_is_said_and_not_refused(columns: str, tmp_path: Path) -> None:
    fill(tmp_path, *numbered("cow", 0, 12), *numbered("sheep", 12, 24))
    rows = [f"{number:03}.png,{number % 2},{number % 3}" for number in range(24)]
    write(tmp_path / "more.csv", f"file,{columns}", rows)
    found = read_data_set(tmp_path)
    assert found.classes == ("cow", "sheep")
    assert "more.csv names 24 of these images and is not used" in found.brought.doubts[0]
    assert read_data_set(tmp_path, reading=Reading(ignore=("more.csv",))).brought.doubts == ()


def test_a_table_that_agrees_is_silent_and_a_folder_that_it_leaves_out_is_said(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("cow", 0, 12), *numbered("sheep", 12, 24))
    rows = [f"{number:03}.png,{int(number < 12)}" for number in range(24)]
    write(tmp_path / "labels.csv", "file,label", rows)
    assert read_data_set(tmp_path).brought.doubts == ()
    fill(tmp_path, *numbered("unsorted", 50, 60))
    (doubt,) = read_data_set(tmp_path).brought.doubts
    assert "names images of the other folders and none of unsorted/, taken for a class like these: --ignore" in doubt


def test_a_table_with_a_row_an_image_that_names_no_file_is_said(tmp_path: Path) -> None:
    fill(tmp_path, *(f"patient_{number % 3}/p_{number:03}_x.png" for number in range(24)))
    rows = [f"{number},{number % 3},{number % 2},{number % 2}" for number in range(24)]
    write(tmp_path / "metadata.csv", ",patient,tumor,split", rows)
    doubts = " ".join(read_data_set(tmp_path).brought.doubts)
    assert "metadata.csv has a row for each of the 24 images, and no column that names their files" in doubts


def test_a_refusal_of_unclear_folders_names_the_table_that_tells_the_classes(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("fold1", 0, 12), *numbered("fold2", 12, 24))
    assert "look like parts of a divided set" in refused(tmp_path)
    write(tmp_path / "labels.csv", "file,label", kinds(0, 24))
    (tmp_path / "fold1" / "x").mkdir()
    fill(tmp_path, "fold1/x/90.png", "fold2/x/91.png")
    text = refused(tmp_path)
    assert "look like parts of a divided set" in text
    assert read_as_advised(text.rpartition(". ")[2]).classes == ("cat", "dog")


def test_a_table_that_tells_of_folders_is_said(tmp_path: Path) -> None:
    studies = [f"{part}/{part}er{number}/study" for part in ("hand", "elbow") for number in range(6)]
    fill(tmp_path, *(f"{study}/{number}.png" for study in studies for number in range(2)))
    rows = [f"mine/{study}/,{number % 2}" for number, study in enumerate(studies)]
    write(tmp_path / "studies.csv", "", rows)
    doubts = " ".join(read_data_set(tmp_path).brought.doubts)
    assert "studies.csv tells of folders of images" in doubts


@pytest.mark.parametrize(("folders", "said"), [(("fold_a", "phase2"), True), (("cow", "sheep"), False)])
def test_a_book_beside_folders_of_parts_is_said(folders: tuple[str, str], said: bool, tmp_path: Path) -> None:
    fill(tmp_path, *numbered(folders[0], 0, 12), *numbered(folders[1], 12, 24))
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    assert ("labels.xlsx is not read" in " ".join(read_data_set(tmp_path).brought.doubts)) is said


def test_tables_of_boxes_say_nothing_of_classes(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("cow", 0, 12), *numbered("sheep", 12, 24))
    rows = [f"{number:03}.png,{kind}" for number in range(24) for kind in ("head", "leg")]
    write(tmp_path / "boxes.csv", "filename,class", rows)
    assert read_data_set(tmp_path).brought.doubts == ()


# Tables of splits beside images that lie flat.


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("HAM_train.csv", "HAM_test.csv"),
        ("train_labels.csv", "test_labels.csv"),
        ("trainLabels.csv", "testLabels.csv"),
        ("metadata_train.csv", "metadata_test.csv"),
        ("ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Test_GroundTruth.csv"),
        ("labels/a. Training Labels.csv", "labels/b. Testing Labels.csv"),
    ],
)
@pytest.mark.parametrize("same", [True, False])
def test_a_word_of_a_tables_name_tells_its_split(train: str, test: str, same: bool, tmp_path: Path) -> None:
    start = 0 if same else 50
    fill(tmp_path, *numbered("train", 0, 24), *numbered("test", start, start + 10))
    write(tmp_path / train, "id,label", kinds(0, 24))
    write(tmp_path / test, "id,label", kinds(start, start + 10))
    found = read_data_set(tmp_path)
    assert found.drawn == ("validation",)
    assert found.test is not None
    assert {Path(path).parent.name for path in found.test.paths} == {"test"}
    assert {Path(path).parent.name for path in found.train.paths} == {"train"}
    assert len(found.test) == 10


@pytest.mark.parametrize(
    "name", ["test_subm.csv", "sample_submission.csv", "sampleSubmission.csv", "my_predictions.csv"]
)
def test_classes_that_were_handed_in_are_no_truth(name: str, tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 40))
    write(tmp_path / "train_anno.csv", "filename,cls", kinds(0, 24))
    write(tmp_path / name, "filename,cls", [f"{number:03},cat" for number in range(24, 40)])
    found = read_data_set(tmp_path)
    assert (sum(sizes(found).values()), found.classes) == (24, ("cat", "dog"))


def test_of_many_tables_those_of_one_set_are_advised(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 40))
    for number in range(2):
        write(tmp_path / "lists" / f"test_set{number}.csv", "file,label", kinds(24, 40))
        write(tmp_path / "lists" / f"train_set{number}.csv", "file,label", kinds(0, 24))
    write(tmp_path / "lists" / "all.csv", "file,label", kinds(0, 40))
    found = read_as_advised(refused(tmp_path))
    assert sum(sizes(found).values()) == 40
    assert found.test is not None
    assert len(found.test) == 16


def test_class_folders_in_train_alone_are_divided_by_their_tables(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("train/c0", 0, 12), *numbered("train/c1", 12, 24))
    write(tmp_path / "train.csv", "img,label", [f"train/c{n // 12}/{n:03}.png,{n // 12}" for n in range(24) if n % 4])
    write(tmp_path / "test.csv", "img,label", [f"train/c{n // 12}/{n:03}.png,{n // 12}" for n in range(0, 24, 4)])
    found = read_data_set(tmp_path)
    assert (found.drawn, sum(sizes(found).values())) == (("validation",), 24)
    assert found.test is not None
    assert len(found.test) == 6


@pytest.mark.parametrize(
    ("header", "row", "column"),
    [
        ("file,age,gender,race,service_test", "{0:03},{1},{2},r{3},{4}", "race"),
        ("path,symbol_id,latex,user_id", "{0:03},{3},l{3},{2}", "latex"),
        ("Image name,Retinopathy grade,Risk of edema", "{0:03},{3},{1}", "Retinopathy grade"),
        ("image,dr_grade,dme,gradable", "{0:03},{3},{4},1", "dr_grade"),
    ],
)
def test_the_most_plausible_column_is_the_example(header: str, row: str, column: str, tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    rows = [row.format(n, n % 3, "mf"[n % 2], n % 4, int(n % 2 == 0)) for n in range(24)]
    write(tmp_path / "t.csv", header, rows)
    for root in (tmp_path, tmp_path / "t.csv"):
        text = refused(root)
        assert text.endswith(f"--label-column {shlex.quote(column)}.")
        assert f"{column} (4 values: " in text
    assert len(read_as_advised(refused(tmp_path)).classes) == 4


def test_a_test_table_that_names_images_of_train_is_taken_by_the_advice(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("train/cat", 0, 12), *numbered("train/dog", 12, 24))
    fill(tmp_path, *numbered("val/cat", 30, 32), *numbered("val/dog", 32, 34))
    rows = [f"train/{'dog' if number > 11 else 'cat'}/{number:03}.png,{number // 12}" for number in range(24)]
    write(tmp_path / "test.csv", "img,label", rows[::4])
    write(tmp_path / "train.csv", "img,label", [row for number, row in enumerate(rows) if number % 4])
    text = refused(tmp_path)
    assert "6 images in train/ that test.csv, train.csv names for test" in text
    assert sizes(read_as_advised(text)) == {"train": 16, "validation": 2, "test": 6}


def test_no_test_and_nothing_to_hand_in_is_advised_to_train_on(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    for name in ("a_submission.csv", "b_test.csv", "z_train.csv"):
        write(tmp_path / name, "what,note", [f"x{number},{number}" for number in range(24)])
    assert f"pass --data {tmp_path}/z_train.csv" in refused(tmp_path)


# How tables are written.


def test_a_line_of_several_words_names_an_image_with_one_of_them(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    write(tmp_path / "train.txt", "", kinds(0, 24, "p{0} {0:03}.png {1} site"))
    assert read_data_set(tmp_path / "train.txt").classes == ("cat", "dog")
    write(tmp_path / "train.txt", "", kinds(0, 24, "p{0} {0:03}.png {1}"))
    assert read_data_set(tmp_path / "train.txt").classes == ("cat", "dog")
    fill(tmp_path, *(f"images/p{number} {number:03}.png" for number in range(24)))
    found = read_data_set(tmp_path / "train.txt")
    assert all(" " in path for path in found.train.paths)


def test_a_list_with_a_header_is_a_table(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    for text in ("{:03}.png,{}", "{:03},{}"):
        write(tmp_path / "train.txt", "id,label", kinds(0, 24, text))
        for root in (tmp_path, tmp_path / "train.txt"):
            assert read_data_set(root).classes == ("cat", "dog")


def test_an_ending_in_capitals_is_the_same_ending(tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{number:03}.PNG" for number in range(24)))
    write(tmp_path / "t.csv", "file,label", kinds(0, 24, "{:03}.png,{}"))
    assert sum(sizes(read_data_set(tmp_path)).values()) == 24
    write(tmp_path / "t.csv", "file,label", kinds(0, 24, "images/{:03}.png,{}"))
    assert sum(sizes(read_data_set(tmp_path)).values()) == 24
    fill(tmp_path, "images/003.png")
    assert "images/003.png" in {path for files in read_data_set(tmp_path).splits.values() for path in files.paths}


@pytest.mark.parametrize("name", ["t.csv", "train_list.txt"])
def test_several_classes_an_image_are_refused_in_words(name: str, tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    mark = "," if name.endswith("csv") else " "
    rows = [mark.join((f"{n:03}.png", str(n % 2), str(n % 3 % 2), "0", str(int(n % 5 == 0)))) for n in range(24)]
    write(tmp_path / "labels" / name, "", rows)
    for root in (tmp_path, tmp_path / "labels" / name):
        with pytest.raises(HardenerError, match="sets with several labels an image are not trained on"):
            read_data_set(root)


def test_advice_does_not_repeat_what_was_typed(tmp_path: Path) -> None:
    fill(tmp_path, *numbered("images", 0, 24))
    rows = [
        f"{number:03}.png,{'cat' if number < 20 else 'dog'},{'train' if number < 16 else 'test'}"
        for number in range(24)
    ]
    write(tmp_path / "labels.csv", "file,label,split", rows)
    assert refused(tmp_path).endswith("has one class, 'cat'; a classifier needs two or more.")


def test_paths_of_another_machine_are_found_where_splits_have_the_same_names(tmp_path: Path) -> None:
    names = [
        f"{split}/{kind}/{number}.png" for split in ("train", "test") for kind in ("cat", "dog") for number in range(8)
    ]
    fill(tmp_path, *names)
    write(tmp_path / "all.csv", "path,label,split", [f"/home/she/set/{name},{name.split('/')[1]},x" for name in names])
    assert read_data_set(tmp_path).brought.doubts == ()


def test_names_of_classes_by_their_numbers_are_no_second_table(tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{number}.png" for number in range(24)))
    write(tmp_path / "labels.csv", "file,label", [f"{number}.png,{('cat', 'dog')[number % 2]}" for number in range(24)])
    (tmp_path / "config.json").write_text('{"labels": {"0": "cat", "1": "dog"}}')
    assert read_data_set(tmp_path).classes == ("cat", "dog")


@pytest.mark.parametrize("root", ["", "lists/all.txt"])
def test_a_list_names_images_without_the_word_that_all_of_a_folder_end_with(root: str, tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/aligned/{number:03}_aligned.png" for number in range(24)))
    write(tmp_path / "lists/all.txt", "", kinds(0, 24, "{:03}.png {}"))
    asked = Reading(images_root=str(tmp_path)) if root else Reading()
    found = read_data_set(tmp_path / root, reading=asked)
    assert labels_by_number(found) == {(True, "cat"), (False, "dog")}
    assert sum(sizes(found).values()) == 24


def test_a_list_does_not_name_masks(tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{number:03}_mask.png" for number in range(24)))
    write(tmp_path / "lists/all.txt", "", kinds(0, 24, "{:03}.png {}"))
    assert "one class" in refused(tmp_path) or "no class folders" in refused(tmp_path)


def test_the_tables_of_splits_may_have_no_header_and_no_endings(tmp_path: Path) -> None:
    for part, start, end in (("Part3_Training", 0, 24), ("Part3_Test", 24, 32)):
        fill(tmp_path, *(f"{part}_Data/ISIC_{number:03}.png" for number in range(start, end)))
        write(tmp_path / f"{part}_Truth.csv", "", kinds(start, end, "ISIC_{:03},{}"))
    found = read_data_set(tmp_path)
    assert sizes(found) == {"train": 22, "validation": 2, "test": 8}
    assert labels_by_number(found) == {(True, "cat"), (False, "dog")}


@pytest.mark.parametrize("header", ["image1,label", "img_name,label", "x_1,label"])
def test_a_header_is_one_where_it_is_not_like_the_rows(header: str, tmp_path: Path) -> None:
    fill(tmp_path, *(f"images/{number:03}.png" for number in range(24)))
    write(tmp_path / "all.csv", header, kinds(0, 24, "{:03}.png,{}"))
    assert labels_by_number(read_data_set(tmp_path)) == {(True, "cat"), (False, "dog")}


def test_marks_that_are_written_as_floats_may_be_classes(tmp_path: Path) -> None:
    ways = [f"train/patient{number // 4:05}/study1/view{number}.png" for number in range(24)]
    fill(tmp_path, *ways)
    rows = [f"{way},{30 + number}.5,{float(number % 2)},{number % 3 - 1.0}" for number, way in enumerate(ways)]
    write(tmp_path / "train.csv", "Path,Age,Edema,Lung Lesion", rows)
    doubt = read_data_set(tmp_path).brought.doubts[-1]
    assert "train.csv names 24 of these images" in doubt
    assert "--label-column 'Lung Lesion'" in doubt
