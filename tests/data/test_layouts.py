"""Folders as people have them: each is read as a reader would, or refused with an advice that works when followed."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from hardener.cli.options import asked_reading
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import DataSet, read_data_set, read_held_out, read_source
from hardener.errors import HardenerError


def image(seed: int, kind: str = "PNG") -> bytes:
    """Write an image that no other seed gives."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (seed % 251, seed // 251 % 251, 7)).save(file, kind)
    return file.getvalue()


def build(root: Path, *patterns: str) -> Path:
    """Make files: `train/cat x3` is three images, `notes.txt` an empty file, `dog/` an empty folder."""
    count = 0
    for pattern in patterns:
        name, _, times = pattern.partition(" x")
        if name.endswith("/"):
            (root / name).mkdir(parents=True, exist_ok=True)
        elif not times:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"")
        for index in range(int(times or 0)):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{index:03}.png").write_bytes(image(count))
            count += 1
    return root


@dataclass(frozen=True)
class Case:
    """A layout, and what is to come of it: classes and the images of each split; 0 for one that is drawn or absent."""

    name: str
    files: tuple[str, ...]
    classes: str = "cat dog"
    train: int = 0
    validation: int = 0
    test: int = 0
    says: str = ""
    reading: Reading = field(default=AS_FOUND)


def pair(*folders: str, count: int = 4) -> tuple[str, ...]:
    return tuple(f"{folder}/{name} x{count}" for folder in folders for name in ("cat", "dog"))


READ = [
    *(
        Case(f"{train} {val} {test}", pair(train, val, test), train=8, validation=8, test=8)
        for train, val, test in (
            ("train", "val", "test"),
            ("Train", "Val", "Test"),
            ("TRAIN", "VALID", "TEST"),
            ("training", "validation", "testing"),
            ("train_set", "dev_set", "test_set"),
            ("training_set", "val_set", "holdout"),
            ("trainset", "valset", "testset"),
            ("Training Set", "Validation Set", "Test Set"),
            ("train-images", "val-images", "test-images"),
            ("train2017", "val2017", "test2017"),
            ("seg_train", "seg_val", "seg_test"),
            ("train_data", "dev", "hold-out"),
            ("images_train", "images_val", "images_test"),
            ("train", "val", "eval"),
            ("train", "eval", "test"),
            ("01_train", "02_val", "03_test"),
            ("pets_train", "pets_val", "pets_test"),
            ("train pets", "valid pets", "test pets"),
            ("X_train", "X_val", "X_test"),
            ("FER2013Train", "FER2013Valid", "FER2013Test"),
            ("trainImages", "valImages", "testImages"),
        )
    ),
    Case("doubled", pair("seg_train/seg_train", "seg_test/seg_test"), train=0, test=8, says="seg_train/seg_train/ was"),
    Case("wrapped", pair("data/dataset"), says="data/dataset/ was taken"),
    Case("wrapped splits", pair("archive/Train", "archive/Test"), test=8, says="archive/ was taken"),
    Case("vehicles", ("car x4", "train x4", "bus x4"), "bus car train", says="train is taken for a class"),
    Case("lab", ("bench x4", "test x4"), "bench test", says="test is taken for a class"),
    Case("split in a class", (*pair("train", "test"), "train/train x4", "test/train x4"), "cat dog train", test=12),
    Case(
        "litter",
        (
            *pair("train", "test"),
            "train/__MACOSX/cat x3",
            "train/cat/.hidden x2",
            "train/@eaDir/cat x2",
            "train/.ipynb_checkpoints x2",
            "train/cat/Thumbs.db",
            "test/desktop.ini",
            "__MACOSX/train/cat x2",
            ".git/x x2",
            "$RECYCLE.BIN/cat x1",
        ),
        test=8,
    ),
    Case("side folders", (*pair("train", "test"), "annotations/a.xml", "docs/"), test=8),
    Case(
        "flat test", (*pair("train", "val"), "test x5"), train=8, validation=8, says="test/ has 5 images and no class"
    ),
    Case("doubled flat", (*pair("train"), "test/test x5"), says="test/test/ has 5 images and no class folders"),
    Case("predictions", (*pair("seg_train", "seg_test"), "seg_pred x5"), test=8, says="seg_pred/ has 5 images"),
    Case("fewer in val", (*pair("train"), "val/cat x2"), validation=2, train=8),
    Case("images beside", (*pair("."), "cover x0", " x2"), says=""),
    Case("inner folders", ("cat/a x2", "cat/b x2", "dog/c x4"), says="first level was taken, 2 classes"),
    Case("depth 2", ("pets/cat x4", "pets/dog x4", "farm/cow x4"), "cat cow dog", reading=Reading(class_depth=2)),
    Case("same names below", ("old/cat x4", "new/cat x4"), "new/cat old/cat", reading=Reading(class_depth=2)),
    Case("leaf", ("pets/cat x4", "farm/big/cow x4"), "cat cow", reading=Reading(class_depth="leaf")),
    Case("left out by name", (*pair("."), "old x4"), reading=Reading(ignore=("old",))),
    Case("a pattern", (*pair("."), "cat-bak x4", "dog-bak x4"), reading=Reading(ignore=("*-bak",))),
    Case(
        "thumbs", ("cat x4", "cat/thumbs x2", "dog x4", "dog/thumbs x2"), says="--ignore thumbs leaves the inner ones"
    ),
    Case("a table for val", (*pair("train"), "val x3", "val.csv"), says="pass --val "),
    Case("parts of things", ("cat/images x4", "dog/images x4")),
    Case("two below, of which one is shared", ("cat/a x2", "cat/b x2", "dog/a x2", "dog/c x2"), says="first level"),
    Case("a wrapped folder in train alone", (*pair("train/animals"), "test/animals/cat x3"), test=3),
]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_a_layout_is_read_as_a_reader_would(case: Case, tmp_path: Path) -> None:
    found = read_data_set(build(tmp_path / "d", *case.files), reading=case.reading)
    assert " ".join(found.classes) == case.classes
    assert len(found.train) == case.train or not case.train
    assert len(found.validation) == case.validation or not case.validation
    assert case.test in (0, 0 if found.test is None else len(found.test))
    assert case.says in " ".join([*found.brought.notes, *found.brought.doubts])
    for files in (found.train, found.validation, found.test):
        for place in range(0 if files is None else len(files)):
            assert files is not None
            assert files.open(place)[:4] == b"\x89PNG"


def test_advice_that_was_followed_is_not_given_again(tmp_path: Path) -> None:
    root = build(tmp_path / "d", *pair("train"), "val x4", "test x4")
    for split in ("val", "test"):
        lines = [
            f"{split}/{name.name},{('cat', 'dog')[at % 2]}" for at, name in enumerate(sorted((root / split).iterdir()))
        ]
        (root / f"{split}.csv").write_text("\n".join(["path,label", *lines]))
    doubts = read_data_set(root).brought.doubts
    assert sorted("--val" in doubt for doubt in doubts) == [False, True]
    left = read_data_set(root, validation_root=root / "val.csv").brought.doubts
    assert left == tuple(doubt for doubt in doubts if "--val" not in doubt)
    assert read_data_set(root, validation_root=root / "val.csv", test_root=root / "test.csv").brought.doubts == ()


REFUSED = [
    ("folds", pair("fold1", "fold2"), "look like parts of a divided set, not like classes: fold1, fold2"),
    ("parts", pair("part_0", "part_1", "part_2"), "--class-depth 2 takes all of them together"),
    ("flat folds", ("fold1 x4", "fold2 x4"), "--class-depth 1"),
    ("trains", pair("train_1", "train_2"), "train_1, train_2"),
    ("splits in classes", ("cat/train x4", "cat/test x2", "dog/train x4", "dog/test x2"), "split folders inside"),
    ("a stray above splits", ("cat x1", "cat/train x4", "cat/test x2", "dog/train x4", "dog/test x2"), "split folders"),
    ("splits in one class", ("cat/train x4", "cat/test x2", "dog x4", "cow x4", "hen x4"), "split folders inside"),
    ("a stray above years", (*pair("2019", "2020"), "2019 x1"), "all hold the same ones"),
    ("years", pair("2019", "2020"), "all hold the same ones .cat, dog., and either may be the classes"),
    ("class and split", ("cat_train x4", "cat_test x4", "dog_train x4", "dog_test x4"), "by a class and a split"),
    ("masks", ("images x4", "masks x4"), "look like images and what was drawn on them"),
    ("mixed", (*pair("train"), "bird x4"), r"split folders \(train\) beside other folders with images \(bird\)"),
    ("two of one", pair("train", "val", "valid"), "2 folders that look like the validation split: val, valid"),
    ("case", ("Cat x4", "cat x4", "dog x4"), "differ only by case: 'Cat' .* and 'cat'"),
    ("case across", (*pair("train"), "test/Cat x2", "test/dog x2"), "differ only by case"),
    ("spaces", ("big cat x4", "bigcat x4"), "differ only by spaces"),
    ("empty class", (*pair("train"), "train/bird/"), "train has class folders without images: bird"),
    ("empty, in brackets", (*pair("."), "bird [1]/", "a*b?/"), "has class folders without images: a.b., bird"),
    ("a small one in brackets", (*pair("."), "bird [1] x1"), "class 'bird .1.' of .* has too few images"),
    ("other in brackets", (*pair("train", "test"), "test/odd [1] x2"), "has odd .1. besides"),
    ("beside in brackets", (*pair("train"), "bird [1] x4"), "beside other folders with images"),
    ("three of one", pair("train", "val", "valid", "dev"), "3 folders that look like the validation split"),
    ("extra in test", (*pair("train"), "test/cat x2", "test/wolf x2"), "lacks dog and has wolf besides"),
    ("one class", ("cat x4",), "has one class, 'cat'"),
    ("one class in train", ("train/cat x4", "test/cat x4"), "train has one class, 'cat'"),
    ("flat", (" x5",), "has 5 images and no class folders"),
    ("flat splits", ("train x5", "test x3"), "Put each class in its own folder: .*d/train/cat/001.jpg"),
    ("too deep", pair("."), "no image lies 3 folders below"),
]


def followed(message: str, root: Path) -> list[DataSet | HardenerError]:
    """Do what a message says to pass, one after the other."""
    flags = re.findall(r"(?:--(?:ignore|class-depth|label-from) (?:'[^']*'|[^\s,;.]+) ?)+", message)
    found: list[DataSet | HardenerError] = []
    for words in map(shlex.split, flags):
        ignore = [value for key, value in zip(words[::2], words[1::2], strict=True) if key == "--ignore"]
        depth = [value for key, value in zip(words[::2], words[1::2], strict=True) if key == "--class-depth"]
        labels = [value for key, value in zip(words[::2], words[1::2], strict=True) if key == "--label-from"]
        reading = asked_reading(ignore, depth[0] if depth else None, labels[0] if labels else None)
        try:
            found.append(read_data_set(root, reading=reading or AS_FOUND))
        except HardenerError as error:
            found.append(error)
    return found


@pytest.mark.parametrize(("name", "files", "match"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_layout_of_two_meanings_is_refused_and_the_advice_works(
    name: str, files: tuple[str, ...], match: str, tmp_path: Path
) -> None:
    root = build(tmp_path / "d", *files)
    reading = Reading(class_depth=3) if name == "too deep" else AS_FOUND
    with pytest.raises(HardenerError, match=match) as refused:
        read_data_set(root, reading=reading)
    message = str(refused.value)
    if name == "too deep":
        return
    assert [str(made) for made in followed(message, root) if isinstance(made, HardenerError)] == []
    for first, second in re.findall(r"--data (\S+) --val (\S+)", message):
        assert read_data_set(Path(first), validation_root=Path(second)).classes == ("cat", "dog")


def test_names_of_two_unicode_forms_are_one_class_to_a_reader(tmp_path: Path) -> None:
    composed, taken_apart = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    build(tmp_path / "d", f"train/{composed} x4", "train/Ameise x4", f"test/{taken_apart} x2", "test/Ameise x2")
    with pytest.raises(HardenerError, match=r"Unicode form .*'K\\xe4fer' .* and 'Ka\\u0308fer'"):
        read_data_set(tmp_path / "d")


def test_folds_are_taken_together_where_the_user_says_so(tmp_path: Path) -> None:
    found = read_data_set(build(tmp_path / "d", *pair("fold1", "fold2")), reading=Reading(class_depth=2))
    assert found.classes == ("cat", "dog")
    assert len(found.train) + len(found.validation) + len(found.test or ()) == 16


def test_links_in_a_circle_pipes_and_broken_links_are_named_and_passed_over(tmp_path: Path) -> None:
    root = build(tmp_path / "d", *pair("."))
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    (root / "dog" / "self").symlink_to(root / "dog" / "self")
    (root / "dog" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    os.mkfifo(root / "dog" / "pipe.jpg")
    brought = read_source(root, AS_FOUND)
    assert len(brought.splits[None]) == 8
    told = {fact.reason: fact.count for fact in brought.left_out}
    assert told == {"links back to a folder above": 1, "broken links": 2, "pipes, sockets and devices": 1}


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    build(tmp_path / "store", *pair("."))
    (tmp_path / "d").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "d" / name).symlink_to(tmp_path / "store" / name, target_is_directory=True)
    assert len(read_source(tmp_path / "d", AS_FOUND).splits[None]) == 8


def test_files_are_told_by_their_bytes_where_the_name_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardener.data.file_kind.reads_heic", lambda: False)
    root = build(tmp_path / "d", *pair("."))
    for place, kind in enumerate(("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM")):
        (root / "cat" / f"{place}").write_bytes(image(100 + place, kind))
        (root / "cat" / f"{place}.jfif").write_bytes(image(200 + place, kind))
    (root / "cat" / "notes.txt").write_text("a text")
    (root / "cat" / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "cat" / "phone").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "cat" / "scan").write_bytes(bytes(128) + b"DICM")
    (root / "cat" / "plan.svg").write_text("<svg/>")
    (root / "cat" / "clip.mp4").write_bytes(b"x")
    (root / "cat" / "unknown.abc").write_bytes(b"x")
    brought = read_source(root, AS_FOUND)
    assert brought.splits[None].names.count("cat") == 4 + 14
    assert {fact.reason: fact.count for fact in brought.left_out} == {
        "HEIC images": 2, "DICOM files": 1, "SVG drawings": 1, "videos": 1, "other files": 2,
    }  # fmt: skip


def test_runs_and_caches_below_the_images_are_no_classes(tmp_path: Path) -> None:
    root = build(tmp_path / "d", *pair("."), "runs/mine/tensorboard x1", "pixels x1")
    (root / "runs" / "mine" / "run.json").write_text('{"schema": "hardener/run/1"}')
    (root / "pixels" / "abc.pixels").write_bytes(b"x")
    assert read_data_set(root).classes == ("cat", "dog")


def test_files_called_like_masks_of_others_are_told_and_the_advice_works(tmp_path: Path) -> None:
    root = build(tmp_path / "d", *pair("."))
    for folder in ("cat", "dog"):
        (root / folder / "000_mask.png").write_bytes(image(7))
    (doubt,) = read_source(root, AS_FOUND).doubts
    assert "2 images are called like masks of others" in doubt
    (pattern,) = re.findall(r"--ignore '(\S+)'", doubt)
    assert len(read_source(root, Reading(ignore=(pattern,))).splits[None]) == 8


@pytest.mark.parametrize(
    ("name", "way"),
    [("1.jp2", "magick"), ("1.tga", "magick"), ("1.dcm", "dcmj2pnm"), ("1.svg", "rsvg-convert"), ("1.npy", "numpy")],
)
def test_what_holds_nothing_that_is_read_is_answered_with_what_makes_images(
    name: str, way: str, tmp_path: Path
) -> None:
    with pytest.raises(HardenerError, match=rf"Left out: 2 .*To have .* read: .*{way}"):
        read_source(build(tmp_path / "d", f"cat/{name}", f"dog/{name}"), AS_FOUND)


def test_a_folder_of_archives_is_answered_with_what_to_pass(tmp_path: Path) -> None:
    for split in ("train", "test"):
        shutil.make_archive(str(tmp_path / "d" / split), "zip", build(tmp_path / split, *pair(".")))
    with pytest.raises(HardenerError, match="2 archives") as refused:
        read_source(tmp_path / "d", AS_FOUND)
    words = shlex.split(str(refused.value).partition(": pass ")[2].removesuffix("."))
    found = read_data_set(Path(words[1]), test_root=Path(words[3]))
    assert (words[::2], len(found.test or ())) == (["--data", "--test"], 8)


def test_images_of_train_alone_are_evaluated_only_by_name(tmp_path: Path) -> None:
    root = build(tmp_path / "d", *pair("Train"))
    with pytest.raises(HardenerError, match="has a train split and no other") as refused:
        read_held_out(root)
    (advice,) = re.findall(r"--data (\S+)\.$", str(refused.value))
    assert read_held_out(Path(advice)).split == "all"


def test_images_to_evaluate_on_may_lack_classes_of_the_model_and_not_bring_others(tmp_path: Path) -> None:
    known = ("bird", "cat", "dog")
    held = read_held_out(build(tmp_path / "d", *pair(".")), known=known)
    assert (held.classes, sorted(set(held.files.labels))) == (known, [1, 2])
    with pytest.raises(HardenerError, match="than the model was trained on: it lacks bird, cat and has wolf besides"):
        read_held_out(build(tmp_path / "e", "dog x4", "wolf x4"), known=known)


def test_a_test_that_lacks_a_class_of_its_train_is_of_all_classes(tmp_path: Path) -> None:
    root = build(tmp_path / "d", "train/ant x4", *pair("train"), *pair("test"), "test/ant/")
    held = read_held_out(root)
    assert (held.classes, held.split, len(held.files)) == (("ant", "cat", "dog"), "test", 8)
    assert sorted(set(held.files.labels)) == [1, 2]


def test_folders_of_parts_without_classes_are_answered_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match=r"testA, testB\. Rename them train, val and test"):
        read_data_set(build(tmp_path / "d", "testA x4", "testB x4"))
