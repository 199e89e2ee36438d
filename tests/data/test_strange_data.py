"""Data that was read in silence as something else, or whose refusal led nowhere."""

from __future__ import annotations

import io
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import classes, fill, picture

from hardener.cli.options import asked_reading
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.conversions.run import convert
from hardener.data.data_set import read_data_set, read_source
from hardener.data.input_rule import choose_range
from hardener.data.sources.image_folder import read_class_folders
from hardener.data.survey import survey
from hardener.errors import HardenerError
from hardener.progress import SILENT


def table(root: Path, labels: list[str], path: str = "{}") -> Path:
    names = [f"{place:02}.png" for place in range(len(labels))]
    fill(root, *names)
    rows = [f"{path.format(name)},{label}" for name, label in zip(names, labels, strict=True)]
    (root / "t.csv").write_text("\n".join(["path,label", *rows]))
    return root / "t.csv"


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("0", "00", "how a number is written"),
        ("1", "1.0", "how a number is written"),
        ("hot dog", "hot_dog", "the marks between words"),
        ("t-shirt", "T_Shirt", "the marks between words"),
    ],
)
def test_names_that_say_the_same_are_no_two_classes(first: str, second: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match=f"class names differ only by .*{says}"):
        read_data_set(classes(tmp_path / "d", first, second, "bird"))


@pytest.mark.parametrize(("first", "second"), [("A", "A-"), ("11", "1_1"), ("10", "1"), ("1.5", "15")])
def test_names_that_say_something_else_are(first: str, second: str, tmp_path: Path) -> None:
    assert set(read_data_set(classes(tmp_path / "d", first, second)).classes) == {first, second}


@pytest.mark.parametrize("mark", ["|", " ", ", ", "+"])
def test_a_cell_of_several_classes_is_told_and_the_advice_leaves_it_out(mark: str, tmp_path: Path) -> None:
    path = table(tmp_path, ["cat", "dog", f'"cat{mark}dog"'] * 4)
    (doubt,) = read_source(path, AS_FOUND).doubts
    assert f"4 rows of {path} have several classes in a cell, such as 'cat{mark}dog'" in doubt
    words = shlex.split(doubt.partition("one class here: ")[2])
    found = read_source(path, asked_reading([words[words.index("--ignore") + 1]], None, None) or AS_FOUND)
    assert not found.doubts
    assert found.splits[None].classes == {"cat", "dog"}


def test_names_of_two_words_are_one_class(tmp_path: Path) -> None:
    assert read_source(table(tmp_path, ["great white", "white tern"] * 4), AS_FOUND).doubts == ()


def test_what_programs_write_for_an_unknown_class_is_none(tmp_path: Path) -> None:
    found = read_source(table(tmp_path, ["cat", "dog", "nan", "N/A"] * 4), AS_FOUND)
    assert found.splits[None].classes == {"cat", "dog"}
    assert [(fact.reason, fact.count) for fact in found.left_out] == [("rows without a class", 8)]


def test_files_that_are_named_by_a_url_are_found(tmp_path: Path) -> None:
    path = table(tmp_path / "a b", ["cat", "dog"] * 4, path=f"file://{tmp_path}/a%20b/{{}}")
    assert len(read_source(path, AS_FOUND).splits[None]) == 8


def test_the_column_that_is_advised_is_the_one_that_repeats_itself(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{place}.png" for place in range(8)))
    rows = [f"{place}.png,{'Katze' if place % 2 else 'Hund'},bem {place // 2}" for place in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["Bild,Rubrik,Bemerkung", *rows]))
    with pytest.raises(HardenerError, match=r"--label-column Rubrik\.$"):
        read_source(tmp_path / "t.csv", AS_FOUND)
    assert read_data_set(tmp_path / "t.csv", reading=Reading(label_column="Rubrik")).classes == ("Hund", "Katze")


def test_an_image_of_two_classes_is_not_said_to_be_unnamed(tmp_path: Path) -> None:
    path = table(tmp_path, ["cat", "dog"] * 6)
    path.write_text(path.read_text() + "\n00.png,dog")
    told = {fact.reason: fact.count for fact in read_source(tmp_path, AS_FOUND).left_out}
    assert told == {"images with two classes": 1}


def test_dogs_and_cats_beside_an_unknown_test_are_no_two_classes(tmp_path: Path) -> None:
    fill(tmp_path, *(f"train/{name}.{place}.png" for name in ("cat", "dog") for place in range(9)), "test1/1.png")
    with pytest.raises(HardenerError, match=r"\(train\) beside other folders with images \(test1\)") as refused:
        read_data_set(tmp_path)
    pattern = shlex.split(str(refused.value).partition("--label-from ")[2])[0].removesuffix(".")
    found = read_data_set(tmp_path, reading=Reading(label_from=pattern))
    assert found.classes == ("cat", "dog")
    fill(tmp_path, "test1/cat.7.png")
    found = read_data_set(tmp_path, reading=Reading(label_from=pattern))
    assert sum(map(len, found.splits.values())) == 18
    assert "1 images in folders that may be other parts of a divided set" in found.brought.doubts[1]


def test_a_link_to_what_lies_above_its_target_is_cut(tmp_path: Path) -> None:
    classes(tmp_path / "store", "cat", "dog")
    (tmp_path / "store/cat/up").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "d").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "d" / name).symlink_to(tmp_path / "store" / name, target_is_directory=True)
    found = read_source(tmp_path / "d", AS_FOUND)
    assert (len(found.splits[None]), [fact.first for fact in found.left_out]) == (8, [("cat/up",)])


def test_what_lies_a_folder_deeper_is_named(tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    np.savez(tmp_path / "my data" / "set.npz", images=np.zeros((8, 4, 4), np.uint8), labels=np.arange(8) % 2)
    for root in (tmp_path, tmp_path / "my data"):
        with pytest.raises(HardenerError, match="It holds a NumPy archive") as refused:
            read_source(root, AS_FOUND)
        words = shlex.split(str(refused.value).partition(": pass ")[2].removesuffix("."))
        assert read_data_set(Path(words[1])).classes == ("0", "1")


def test_the_way_from_archives_of_classes_works(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("cat", "dog"):
        with zipfile.ZipFile(tmp_path / "d" / f"{name}.zip", "w") as archive:
            for place in range(4):
                archive.writestr(f"{place}.png", picture(place))
    with pytest.raises(HardenerError, match="unpack each into a folder of its name: ") as refused:
        read_source(tmp_path / "d", AS_FOUND)
    made, unpacked, _ = str(refused.value).partition("of its name: ")[2].split("; ", 2)
    assert (made, unpacked) == (f"mkdir {tmp_path}/d/cat", f"unzip {tmp_path}/d/cat.zip -d {tmp_path}/d/cat")
    for name in ("cat", "dog"):
        (tmp_path / "d" / name).mkdir()
        with zipfile.ZipFile(tmp_path / "d" / f"{name}.zip") as archive:
            archive.extractall(tmp_path / "d" / name)
    assert read_data_set(tmp_path / "d").classes == ("cat", "dog")


def test_an_archive_of_which_all_leads_out_is_told_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("/home/me/cat/1.png", picture(1))
    with pytest.raises(HardenerError, match="has no file that stays inside it: its 1 names lead out, .* Unpack it"):
        read_source(tmp_path / "a.zip", AS_FOUND)


def test_an_empty_class_says_what_lies_in_it(tmp_path: Path) -> None:
    classes(tmp_path, "cat", "dog")
    (tmp_path / "fox").mkdir()
    (tmp_path / "fox/1.svg").write_text("<svg/>")
    with pytest.raises(HardenerError, match=r"without images: fox\. Left out: 1 SVG drawings .*--ignore fox"):
        read_data_set(tmp_path)


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv"])
@pytest.mark.parametrize("header", [False, True])
def test_labels_in_text_beside_an_array_are_converted(name: str, header: bool, tmp_path: Path) -> None:
    images = np.arange(12, dtype=np.uint8).repeat(16).reshape(12, 4, 4)
    (tmp_path / "d").mkdir()
    np.save(tmp_path / "d/images.npy", images)
    (tmp_path / "d" / name).write_text("\n".join(["label"] * header + [str(place % 3) for place in range(12)]))
    with pytest.raises(HardenerError, match="hardener convert"):
        read_source(tmp_path / "d", AS_FOUND)
    convert(tmp_path / "d", tmp_path / "made", None, SILENT)
    names, files = read_class_folders(tmp_path / "made")
    levels = [int(np.asarray(Image.open(io.BytesIO(files.open(place))))[0, 0]) for place in range(12)]
    assert [int(names[label]) for label in files.labels] == [level % 3 for level in levels]
    assert sorted(levels) == list(range(12))


@pytest.mark.parametrize("name", ["labels.txt", "y.npy", "train_labels.npy"])
def test_labels_beside_images_are_named(name: str, tmp_path: Path) -> None:
    fill(tmp_path, "a1.png", "b7.png").joinpath(name).write_bytes(b"0\n1\n")
    with pytest.raises(HardenerError, match=f"If {name} tells the classes, write them to a CSV file"):
        read_source(tmp_path, AS_FOUND)


def test_float_and_sixteen_bit_levels_take_no_range_of_both(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("F", (4, 4), 0.5).save(tmp_path / name / "f.tif")
        Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / name / "i.png")
    _, files = read_class_folders(tmp_path)
    with pytest.raises(HardenerError, match=r"levels of several kinds \(2 of float, 2 of 16 bit\)"):
        choose_range(files, survey(files), None, None, SILENT)
    assert choose_range(files, survey(files), (0.0, 65535.0), None, SILENT) == (0.0, 65535.0)
    rest = read_source(tmp_path, Reading(ignore=("*.tif",))).splits[None].labelled(("cat", "dog"))
    assert choose_range(rest, survey(rest), None, None, SILENT) == (40_000.0, 40_001.0)


def test_rows_of_an_array_are_called_so(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=np.zeros((8, 4, 4), np.uint8), labels=np.arange(8) % 2)
    group = read_source(tmp_path / "d.npz", AS_FOUND).splits[None]
    assert survey(group.labelled(("0", "1"))).formats == {"array rows": 8}


def split_files(root: Path, pattern: str) -> None:
    names = [pattern.format(c, s, k) for c in ("cat", "dog") for s in ("train", "test") for k in range(6)]
    fill(root, *names)


@pytest.mark.parametrize("pattern", ["{0}_{1}_{2}.png", "{1}-{0}-{2}.png"])
def test_the_advised_pattern_reads_splits_where_names_tell_them(pattern: str, tmp_path: Path) -> None:
    split_files(tmp_path, pattern)
    with pytest.raises(HardenerError, match="--label-from") as refused:
        read_data_set(tmp_path)
    words = shlex.split(str(refused.value).partition("pass --label-from ")[2])
    found = read_data_set(tmp_path, reading=Reading(label_from=words[0].removesuffix(".")))
    assert (found.classes, len(found.test or ()), found.drawn) == (("cat", "dog"), 12, ("validation",))


def test_drawings_inside_class_folders_are_said_and_the_advice_leaves_them_out(tmp_path: Path) -> None:
    classes(tmp_path, "cat/images", "cat/masks", "dog/images", "dog/masks")
    (doubt,) = read_source(tmp_path, AS_FOUND).doubts
    assert "/masks/ looks like what was drawn on images" in doubt
    assert doubt.endswith("--ignore masks leaves it out")
    found = read_source(tmp_path, Reading(ignore=("masks",)))
    assert not found.doubts
    assert len(found.splits[None]) == 8


@pytest.mark.parametrize(("name", "told"), [("masks", True), ("Segmented", True), ("mask", False), ("maskara", False)])
def test_a_folder_of_drawings_beside_classes_is_told(name: str, told: bool, tmp_path: Path) -> None:
    classes(tmp_path, "cat", "dog", name)
    found = read_data_set(tmp_path)
    assert found.classes == tuple(sorted(("cat", "dog", name)))
    text = (
        f"{name}/ looks like what was drawn on images, and is taken for a class like the rest: --ignore {name} leaves"
    )
    assert [text in doubt for doubt in found.brought.doubts] == [True] * told
    assert read_data_set(tmp_path, reading=Reading(ignore=(name,))).classes == ("cat", "dog")


@pytest.mark.parametrize("others", [("data/cat", "data/dog"), ("cat", "dog")])
def test_splits_without_train_are_answered_with_what_names_each(others: tuple[str, str], tmp_path: Path) -> None:
    classes(tmp_path, *others, "test/cat", "test/dog")
    with pytest.raises(HardenerError, match="none of them of train") as refused:
        read_data_set(tmp_path)
    words = shlex.split(str(refused.value).partition("trained on: ")[2].removesuffix("."))
    asked = dict(zip(words[::2], words[1::2], strict=True))
    reading = asked_reading([asked["--ignore"]] if "--ignore" in asked else [], None, None) or AS_FOUND
    found = read_data_set(Path(asked["--data"]), test_root=Path(asked["--test"]), reading=reading)
    assert (found.classes, len(found.test or ()), len(found.train) + len(found.validation)) == (("cat", "dog"), 8, 8)


@pytest.mark.parametrize("path", ["{}.jpg", "0{}.png", "{}.PNG"])
def test_names_that_differ_by_little_are_said(path: str, tmp_path: Path) -> None:
    table(tmp_path, ["cat", "dog"] * 4)
    rows = [f"{path.format(f'{place:02}')},{'cat' if place % 2 else 'dog'}" for place in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]))
    with pytest.raises(HardenerError, match=r"Files of nearly these names are, such as 00\.png for "):
        read_source(tmp_path / "t.csv", AS_FOUND)


def test_spaces_behind_a_comma_do_not_make_quotes_of_a_class(tmp_path: Path) -> None:
    path = table(tmp_path, ["cat", "dog"] * 4)
    path.write_text(path.read_text().replace(",cat", ', "cat"').replace(",dog", ', "dog"'))
    assert read_source(path, AS_FOUND).splits[None].classes == {"cat", "dog"}


@pytest.mark.parametrize("name", ["d.tar", "download"])
def test_an_archive_of_another_name_is_told(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("cat/1.png", picture(1))
    with pytest.raises(HardenerError, match=r"It begins as \.zip does: rename it"):
        read_source(tmp_path / name, AS_FOUND)
