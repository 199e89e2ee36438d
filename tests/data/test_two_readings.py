"""Folders of which either of two levels may be the classes: what is printed is typed, and reads what it says."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import DataSet, read_data_set
from hardener.errors import HardenerError


def fill(root: Path, *folders: str, count: int = 4, name: str = "{}") -> Path:
    """Put different images into folders: `cat` gets `cat/0.png` and so on; `{parent}` in a name is its folder's."""
    for place, folder in enumerate(folders):
        for number in range(count):
            file = io.BytesIO()
            Image.new("RGB", (4, 4), (place % 251, number, 7)).save(file, "PNG")
            own = root / folder / f"{name.format(number, parent=folder.rpartition('/')[2])}.png"
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_bytes(file.getvalue())
    return root


def pairs(*folders: str, names: str = "cat dog") -> list[str]:
    return [f"{folder}/{name}" for folder in folders for name in names.split()]


def refusal(root: Path, reading: Reading = AS_FOUND) -> str:
    with pytest.raises(HardenerError) as refused:
        read_data_set(root, reading=reading)
    return str(refused.value)


def typed(message: str) -> list[dict[str, list[str]]]:
    """Return the options of each line that a message prints."""
    lines = re.findall(r"(?:--[a-z-]+ (?:'[^']*'|[^\s';]*[^\s';.,]) ?)+", message)
    found: list[dict[str, list[str]]] = []
    for words in map(shlex.split, lines):
        found.append({})
        for key, value in zip(words[::2], words[1::2], strict=True):
            found[-1].setdefault(key, []).append(value)
    return found


def read(root: Path, options: dict[str, list[str]]) -> DataSet:
    reading = Reading(
        ignore=tuple(options.get("--ignore", ())),
        label_from=options.get("--label-from", [None])[0],
        class_depth="leaf"
        if options.get("--class-depth") == ["leaf"]
        else next(map(int, options.get("--class-depth", [])), None),
    )
    val, test = (next(map(Path, options.get(name, [])), None) for name in ("--val", "--test"))
    data = Path(options.get("--data", [root])[0])
    return read_data_set(data, reading=reading, validation_root=val, test_root=test)


def count(folder: DataSet) -> int:
    return sum(map(len, folder.splits.values()))


BOTH = [
    ("domains", pairs("art", "clip", "photo"), "cat dog", "all hold the same ones"),
    ("wrapped", pairs("set/images/art", "set/images/clip"), "cat dog", "all hold the same ones"),
    ("patients", ["9036/1", *pairs("10253", "8863", "14156", names="0 1")], "0 1", "nearly all hold the same ones"),
    ("two patients", ["9036/1", *pairs("10253", names="0 1")], "0 1", "nearly all hold"),
    ("some lack a few", [*pairs("a", "b", names="k l m"), "c/k", "c/l", "d/l", "d/m"], "k l m", "nearly all hold"),
    ("a folder between", pairs("good/bmp", "bad/bmp"), "cat dog", "good/bmp/cat"),
    ("deeper images", [f"{way}/x" for way in pairs("s1", "s2")], "cat dog", "all hold"),
    ("own names", ["D/CD", "D/UD", "P/CP", "P/UP"], "C U", "C, U: D/CD, P/CP"),
    ("own names first", ["D/D_ok", "D/D_bad", "P/P_ok", "P/P_bad"], "bad ok", "bad, ok: D/D_bad"),
    ("in a split", pairs("train/a", "train/b", "test/a", "test/b"), "cat dog", "all hold"),
]


@pytest.mark.parametrize(("name", "folders", "inner", "says"), BOTH, ids=[case[0] for case in BOTH])
def test_folders_that_hold_the_same_ones_are_refused_and_each_line_reads_what_it_says(
    name: str, folders: list[str], inner: str, says: str, tmp_path: Path
) -> None:
    root = fill(tmp_path / "d", *folders)
    message = refusal(root)
    assert says in message
    assert "--class-depth 2" not in message
    lines = typed(message)
    assert [list(line) for line in lines if "--label-from" in line]
    for line in lines:
        folder = read(root, line)
        assert ("--class-depth" in line) or " ".join(folder.classes) == inner
        assert count(folder) == 4 * len(folders)
        if "--val" in line:
            assert folder.drawn == (() if "--test" in line else ("test",))


def test_drawings_are_left_out_before_the_levels_are_asked_about(tmp_path: Path) -> None:
    ways = pairs("lab", "field")
    root = fill(tmp_path / "d", *[f"{kind}/{way}" for kind in ("images", "segmented") for way in ways])
    first = refusal(root)
    assert "--ignore segmented leaves the drawings out" in first
    second = refusal(root, Reading(ignore=("segmented",)))
    assert read(root, {**typed(second)[0], "--ignore": ["segmented"]}).classes == ("cat", "dog")
    root = fill(tmp_path / "e", *pairs("good/Bmp", "good/Msk", "bad/Bmp", "bad/Msk"))
    (line, *_) = typed(refusal(root))
    assert (line["--ignore"], count(read(root, line))) == (["Msk"], 16)


def test_files_of_the_same_names_are_said_to_be_forms_of_the_same_images(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs("gray", "color"), name="IMG_{parent}{:b}418")
    message = refusal(root)
    assert "Their files have the same names" in message
    assert "--ignore gray" in message
    assert "Their files" not in refusal(fill(tmp_path / "e", *pairs("old", "new"), name="{:05}"))


@pytest.mark.parametrize(
    ("folders", "pattern", "classes"),
    [
        (
            [f"{part}/p{k}{part}/study{k % 3}_{('neg', 'pos')[k % 2]}" for part in ("elbow", "hand") for k in range(6)],
            "study{#}_{label}/{*}",
            "neg pos",
        ),
        ([f"h{k}/p{k}{j}/{y}" for k in range(2) for j in range(3) for y in range(2)], "{label}/{*}", "0 1"),
    ],
    ids=["studies", "hospitals"],
)
def test_names_that_repeat_deeper_are_told_with_what_to_pass(
    folders: list[str], pattern: str, classes: str, tmp_path: Path
) -> None:
    root = fill(tmp_path / "d", *folders)
    (doubt,) = read_data_set(root).brought.doubts
    assert shlex.quote(pattern) in doubt
    assert " ".join(read(root, typed(doubt)[0]).classes) == classes


@pytest.mark.parametrize(
    "folders",
    [
        ["cat/1", "cat/2", "dog/1", "dog/3"],
        ["apple/apple_1", "apple/apple_2", "pear/pear_1", "pear/pear_2"],
        ["cat/images", "dog/images"],
        ["cat/a", "cat/b", "dog/c", "cow/d"],
    ],
)
def test_folders_in_classes_that_are_no_second_level_are_read_as_before(folders: list[str], tmp_path: Path) -> None:
    folder = read_data_set(fill(tmp_path / "d", *folders))
    assert folder.classes == tuple(sorted({way.partition("/")[0] for way in folders}))
    assert folder.brought.doubts == ()


def test_parts_of_a_set_beside_another_folder_are_its_splits(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs("train_afew", "val_afew"), "ck/S005", "ck/S006")
    message = refusal(root)
    assert "has split folders (train_afew, val_afew) beside other folders with images (ck)" in message
    folder = read(root, typed(message)[0])
    assert (folder.classes, folder.drawn, count(folder)) == (("cat", "dog"), (), 16)


SETS = [
    ("named", pairs("train_a", "val_a", "train_b", "val_b"), 32, 16),
    ("named behind", pairs("a_train", "a_val", "b_train", "b_val"), 32, 16),
    ("below", pairs("a/train", "a/val", "b/train", "b/val"), 32, 16),
    (
        "below folds",
        pairs(*(f"fold{fold}/{part}/{way}" for fold in "12" for part in "ab" for way in ("train", "val"))),
        64,
        16,
    ),
    ("below images", pairs("a/images/train", "a/images/val", "b/images/train", "b/images/val"), 32, 16),
]


@pytest.mark.parametrize(("name", "folders", "every", "one"), SETS, ids=[case[0] for case in SETS])
def test_sets_of_the_same_classes_are_no_classes(
    name: str, folders: list[str], every: int, one: int, tmp_path: Path
) -> None:
    root = fill(tmp_path / "d", *folders)
    alone, together, depth = [read(root, line) for line in typed(refusal(root))]
    assert (alone.classes, alone.drawn, count(alone)) == (("cat", "dog"), (), one)
    assert (together.classes, together.drawn, count(together)) == (("cat", "dog"), (), every)
    assert count(depth) == every


def test_images_made_of_those_beside_are_never_mixed_with_them(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs("samples"), name="{parent} ({:b})")
    for path in sorted(root.rglob("*.png")):
        own = fill(root, f"objects/{path.parent.name}", count=1, name=f"{path.stem}_0")
        Image.new("RGB", (4, 4), (len(path.name), 1, 1)).save(own / f"objects/{path.parent.name}/{path.stem}_0.png")
    message = refusal(root)
    assert "the files of objects/ are called after those of samples/" in message
    made, source, depth = [read(root, line) for line in typed(message)]
    for found, is_made in ((made, True), (source, False)):
        assert found.classes == ("cat", "dog")
        assert {name.endswith("_0.png") for files in found.splits.values() for name in files.paths} == {is_made}
    assert depth.classes == ("objects", "samples")


def test_copies_of_a_divided_set_are_told_as_copies(tmp_path: Path) -> None:
    ways = pairs("train", "test")
    folders = [f"{top}/{way}" for top in ("OCT2017 ", "oct/OCT2017 ") for way in ways]
    root = fill(tmp_path / "d", *folders, name="N-{parent}{:b}1")
    message = refusal(root)
    assert "they look like copies of one set" in message
    assert read(root, typed(message)[0]).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("folders", "name", "classes"),
    [
        (["cat_train", "dog_train", "cow_train", "test"], "{}", ("cat", "cow", "dog")),
        (["images_background", "images_evaluation"], "cat_{}", ()),
    ],
)
def test_a_flat_folder_of_a_split_beside_folders_unlike_it_is_no_class(
    folders: list[str], name: str, classes: tuple[str, ...], tmp_path: Path
) -> None:
    root = fill(tmp_path / "d", *folders, name=name)
    *ways, depth = typed(refusal(root))
    assert read(root, depth).classes == tuple(sorted(folders))
    assert [read(root, way).classes for way in ways] == ([classes] if classes else [])
    fill(root, "images_background", name="dog_{}")
    if not classes:
        assert read(root, typed(refusal(root))[0]).classes == ("cat", "dog")


def test_a_class_that_is_called_like_a_split_is_told_with_what_leaves_it_out(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", "car", "bus", "train")
    (doubt,) = read_data_set(root).brought.doubts
    assert read(root, typed(doubt)[0]).classes == ("bus", "car")


def test_ends_of_names_that_every_folder_has_are_told(tmp_path: Path) -> None:
    persons = ("AF01", "AF02", "AM01")
    for code in ("HAS", "HAL", "NES", "NEL"):
        root = fill(tmp_path / "d", *persons, count=1, name="{parent}" + code)
    for place, name in enumerate(sorted(root.rglob("*.png"))):
        Image.new("RGB", (4, 4), (place, 9, 9)).save(name)
    (doubt,) = read_data_set(root).brought.doubts
    assert "may be persons" in doubt
    assert read(root, typed(doubt)[0]).classes == ("HA", "NE")


NAMES = [
    ("last", "CHN_{n:04}_{b}", "CHN_{#}_{label}.{*}"),
    ("middle", "{a}_{b}_{c}_2017{n:04}", "{#}_{label}_{*}"),
    ("first", "{b}_{n:02}-05-2015_{w}_{n}", "{label}_{*}"),
    ("word", "{b}_{n:02}-05-2015_{w}_{n}", "{#}_{#}-05-2015_{label}_{*}"),
    ("counted", "K.{w}{c}-x{n}", "K.{label}{#}-{*}"),
    ("numbers alone", "{c}_{b}_{n}", "{label}_{*}"),
]


@pytest.mark.parametrize(("name", "form", "pattern"), NAMES, ids=[case[0] for case in NAMES])
def test_parts_of_names_are_offered_with_the_classes_that_they_give(
    name: str, form: str, pattern: str, tmp_path: Path
) -> None:
    for n in range(24):
        own = form.format(n=n, a=n + 20, b=n % 2, c=n % 4, w=("left", "right", "top")[n % 3])
        root = fill(tmp_path / "d", "images", count=1, name=own)
        Image.new("RGB", (4, 4), (n, 1, 1)).save(root / "images" / f"{own}.png")
    message = refusal(root)
    lines = {line["--label-from"][0]: line for line in typed(message)}
    assert pattern in lines
    for line in lines.values():
        classes = read(root, line).classes
        assert f"{shlex.quote(line['--label-from'][0])} gives {len(classes)} classes ({', '.join(classes)})" in message


def test_folders_of_texts_beside_one_folder_of_images_are_no_empty_classes(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", "CXR", name="CHN_1{}_0", count=8)
    fill(root, "CXR", name="CHN_2{}_1", count=8)
    (root / "readings").mkdir()
    (root / "readings" / "CHN_10_0.txt").write_text("normal")
    message = refusal(root)
    assert "lie in one folder, CXR/" in message
    assert read(root, typed(message)[0]).classes == ("0", "1")
    assert "readings holds other files and no images" in " ".join(read_data_set(fill(root, "other")).brought.notes)


def test_folders_of_the_same_files_are_forms_of_the_same_images(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", "aligned faces", "original images", name="0738{:b}A21")
    leave, depth = typed(refusal(root))
    assert leave == {"--ignore": ["original images"]}
    assert len(read(root, depth).classes) == 2
    (root / "image sets").mkdir()
    (root / "image sets" / "train.txt").write_text("07380A21.png 0")
    message = refusal(root, Reading(ignore=("original images",)))
    assert "If image sets/train.txt tells the classes, write them to a CSV file" in message


def test_what_else_lies_there_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / "xml", split)
        for number in range(4):
            (tmp_path / "xml" / split / f"{number}.xml").write_text("<Species/>")
    assert "A file lies beside each image, such as test/0.xml" in refusal(tmp_path / "xml")
    (tmp_path / "mat" / "all").mkdir(parents=True)
    for number in range(9):
        (tmp_path / "mat" / "all" / f"{number}.mat").write_bytes(b"MATLAB 7.3")
    assert "has no images, and 9 MATLAB files, such as all/0.mat" in refusal(tmp_path / "mat")
    fill(tmp_path / "json", "train_val2018/Aves/3", "train_val2018/Plantae/4", "test2018")
    for split in ("train", "val", "test"):
        (tmp_path / "json" / f"{split}2018.json").write_text("{}")
    lists, folders = typed(refusal(tmp_path / "json"))
    assert [Path(lists[key][0]).name for key in ("--data", "--val")] == ["train2018.json", "val2018.json"]
    assert folders == {"--data": [str(tmp_path / "json" / "train_val2018")]}


def test_folders_of_which_no_split_shares_one_may_be_videos(tmp_path: Path) -> None:
    message = refusal(fill(tmp_path / "d", "train/HVC1", "train/HVC2", "test/HVC3", "test/HVC4"))
    assert "the folders may be videos, persons or places" in message
    assert typed(message) == []


def in_endings(root: Path, first: str, second: str) -> None:
    for path in sorted((root / second).rglob("*.png")):
        path.rename(path.with_suffix(".bmp"))


@pytest.mark.parametrize(
    ("names", "kept"),
    [(("AugmentedSet", "OriginalSet"), "OriginalSet"), (("preprocessed", "raw"), "raw"), (("MS", "X"), "MS")],
)
def test_forms_of_the_same_images_are_never_mixed(names: tuple[str, str], kept: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs(*names), count=12)
    if names[0] == "MS":
        in_endings(root, *names)
    message = refusal(root)
    assert "look like forms of the same images" in message
    first, second, whole = typed(message)
    assert all(Path(read(root, first).train.root / path).parts[-3] == kept for path in read(root, first).train.paths)
    assert read(root, first).classes == read(root, second).classes == ("cat", "dog")
    assert read(root, whole).classes == names


@pytest.mark.parametrize("names", ["1 2 3 4", "sample_a sample_b sample_c", "session1 session2"])
def test_words_above_numbers_are_offered_first(names: str, tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs("Fake/frames", "Real/frames", names=names), count=12)
    message = refusal(root)
    assert read(root, typed(message)[0]).classes == ("Fake", "Real")
    assert message.count("unless data.group_by keeps them together") == 1


def test_grades_below_places_are_offered_first(tmp_path: Path) -> None:
    root = fill(tmp_path / "d", *pairs("left", "right", names="grade_1 grade_2 grade_3"), count=12)
    assert read(root, typed(refusal(root))[0]).classes == ("grade_1", "grade_2", "grade_3")


def test_the_deepest_folders_are_offered_where_they_are_of_one_branch_each(tmp_path: Path) -> None:
    ways = [
        f"{part}/{level}/{part}-{level}{k}" for part in ("lower", "upper") for level in ("marks", "finds") for k in "ab"
    ]
    root = fill(tmp_path / "d", *ways)
    line, *_ = typed(refusal(root))
    assert line == {"--class-depth": ["leaf"]}
    assert len(read(root, line).classes) == len(ways)


def test_drawings_inside_splits_of_classes_are_left_out_by_the_line(tmp_path: Path) -> None:
    ways = [f"{kind}/{split}" for kind in ("wood", "cloth") for split in ("Train", "Test")]
    root = fill(tmp_path / "d", *ways, name="{:b}")
    for way in ways:
        fill(root, f"{way}/Label", name="{:b}_label")
    line, _ = typed(refusal(root))
    assert line["--ignore"] == ["Label"]
    found = read(root, line)
    assert (found.classes, count(found), found.drawn) == (("cloth", "wood"), 16, ("validation",))
    (doubt,) = (own for own in read(root, {"--class-depth": ["1"]}).brought.doubts if "masks" in own)
    assert doubt.startswith("16 images are called like masks of others")
