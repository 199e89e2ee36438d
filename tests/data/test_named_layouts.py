"""Data sets as they are handed out: names of files that tell the class, ImageNet, Tiny-ImageNet."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import DataSet, read_data_set, read_held_out, read_source
from hardener.data.layouts import LAYOUTS
from hardener.data.sources import SOURCES
from hardener.errors import HardenerError


def fill(folder: Path, names: list[str]) -> None:
    for seed, name in enumerate(names):
        file = io.BytesIO()
        Image.new("RGB", (4, 4), (seed % 251, len(name), 7)).save(file, "PNG")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file.getvalue())


def sizes(folder: DataSet) -> dict[str, int]:
    return {split: len(files) for split, files in folder.splits.items()}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{label}.{#}.jpg", "{0}.{1}.jpg"),
        ("{label}.{*}", "{0}.{1}.jpg"),
        ("{*}_{label}.jpg", "n{1:02}_{0}.jpg"),
        ("{label}_{#}", "{0}_{1}.jpg"),
        ("{label}_{#}.{*}", "Big_{0}_{1}.png"),
        ("{label} ({#})", "{0} ({1}).jpg"),
        ("{label}/{*}/{*}.jpg", "a/{0}/x/{1}.jpg"),
        (r"^(?P<label>.+)_\d+\.jpg$", "Big_{0}_{1}.jpg"),
        (r"_(?P<label>[a-z]+)\.", "{1}_{0}.jpg"),
    ],
)
def test_names_tell_classes(pattern: str, name: str, tmp_path: Path) -> None:
    names = [name.format("cat" if place % 2 else "dog", place) for place in range(20)]
    fill(tmp_path / "d", names)
    for root in (tmp_path / "d", Path(shutil.make_archive(str(tmp_path / "d"), "zip", tmp_path / "d"))):
        folder = read_data_set(root, reading=Reading(label_from=pattern))
        assert [text.removeprefix("Big_") for text in folder.classes] == ["cat", "dog"]
        assert sizes(folder) == {"train": 16, "validation": 2, "test": 2}
        assert {folder.train.where(k).count("cat") for k, y in enumerate(folder.train.labels) if y == 0} == {1}


def test_splits_of_folders_hold_and_a_test_without_classes_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, [f"{s}/{c}.{k}.jpg" for s in ("train", "val") for c in ("cat", "dog") for k in range(5)])
    fill(tmp_path, [f"test/{k}.jpg" for k in range(5)])
    folder = read_data_set(tmp_path, reading=Reading(label_from="{label}.{#}.jpg"))
    assert (folder.drawn, sizes(folder)) == ((), {"train": 10, "validation": 10})
    assert [(fact.reason, fact.count) for fact in folder.brought.left_out] == [("images without a class", 5)]
    fill(tmp_path, ["train/odd.jpg"])
    assert "1 images whose name does not fit" in read_source(tmp_path, Reading(label_from="{label}.{#}.jpg")).doubts[0]


@pytest.mark.parametrize("pattern", ["{lable}.jpg", "cat", "{label}{label}", "{label", "(?P<label>("])
def test_a_pattern_that_cannot_be_read_is_refused_with_an_example(pattern: str, tmp_path: Path) -> None:
    fill(tmp_path, ["cat.0.jpg"])
    with pytest.raises(HardenerError, match=r"--label-from .* such as '\{label\}.\{#\}.jpg' for cat.0.jpg"):
        read_source(tmp_path, Reading(label_from=pattern))
    with pytest.raises(HardenerError, match="no image below .* fits --label-from"):
        read_source(tmp_path, Reading(label_from="{label}-{#}.jpg"))


@pytest.mark.parametrize("name", ["{0}.{1}.jpg", "{0}_{1:03}.jpg", "Big_{0}_{1}.jpg", "{0} ({1}).jpg", "{0}{1}.jpg"])
@pytest.mark.parametrize("below", ["", "train/", "images/"])
def test_a_flat_folder_of_such_names_is_answered_with_the_pattern(name: str, below: str, tmp_path: Path) -> None:
    fill(tmp_path, [below + name.format("cat" if place % 2 else "dog", place) for place in range(20)])
    with pytest.raises(HardenerError, match="The names of its images seem to tell classes") as caught:
        read_data_set(tmp_path)
    pattern = shlex.split(str(caught.value).partition("--label-from ")[2])[0].removesuffix(".")
    folder = read_data_set(tmp_path, reading=Reading(label_from=pattern))
    assert [text.removeprefix("Big_") for text in folder.classes] == ["cat", "dog"]


def test_camera_names_are_no_classes(tmp_path: Path) -> None:
    fill(tmp_path, [f"IMG_{place}.jpg" for place in range(20)])
    with pytest.raises(HardenerError, match="no class folders. Put each class in its own folder") as caught:
        read_data_set(tmp_path)
    assert "--label-from" not in str(caught.value)


NUMBERS = ["n01440764", "n01443537", "n02119789"]
VALIDATION = [f"ILSVRC2012_val_{place:08}" for place in range(1, 10)]


def truth(place: int) -> str:
    return NUMBERS[place * 2 % 3]


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """ILSVRC's folders, small; in its own order the classes are 3, 1, 2."""
    base = tmp_path / "d" / "ILSVRC" / "Data" / "CLS-LOC"
    fill(base, [f"train/{number}/{number}_{place}.JPEG" for number in NUMBERS for place in range(4)])
    fill(base, [f"val/{name}.JPEG" for name in VALIDATION])
    fill(base, [f"test/ILSVRC2012_test_{place:08}.JPEG" for place in range(5)])
    return tmp_path / "d"


IDS = dict(zip(NUMBERS, (3, 1, 2), strict=True))


def _ids() -> str:
    return "".join(f"{IDS[truth(place)]}\n" for place in range(9))


def solution(root: Path) -> None:
    rows = [f"{name},{truth(place)} 1 2 3 4 {truth(place)} 5 6 7 8" for place, name in enumerate(VALIDATION)]
    (root / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *reversed(rows)]))


def mapped(root: Path) -> None:
    (root / "devkit" / "data").mkdir(parents=True)
    (root / "devkit" / "data" / "ILSVRC2015_clsloc_validation_ground_truth.txt").write_text(_ids())
    lines = "".join(f"{number} {IDS[number]} some_name\n" for number in NUMBERS)
    (root / "devkit" / "data" / "map_clsloc.txt").write_text(lines)


def meta(root: Path) -> None:
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text(_ids())
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    synsets = np.array([(np.uint16(IDS[number]), number, np.uint8(0)) for number in NUMBERS], dtype=kinds)
    scipy.io.savemat(root / "meta.mat", {"synsets": synsets})


def caffe(root: Path) -> None:
    lines = [f"{name}.JPEG {NUMBERS.index(truth(place))}\n" for place, name in enumerate(VALIDATION)]
    (root / "val.txt").write_text("".join(lines))


@pytest.mark.parametrize("tell", [solution, mapped, meta, caffe])
@pytest.mark.parametrize("packed", [False, True])
def test_imagenets_validation_is_read_by_its_list(tell: Callable[[Path], None], packed: bool, imagenet: Path) -> None:
    tell(imagenet)
    root = Path(shutil.make_archive(str(imagenet), "tar", imagenet)) if packed else imagenet
    folder = read_data_set(root)
    assert (folder.classes, sizes(folder), folder.drawn) == (tuple(NUMBERS), {"train": 12, "validation": 9}, ())
    told = {Path(folder.validation.paths[k]).stem: folder.classes[y] for k, y in enumerate(folder.validation.labels)}
    assert told == {name: truth(place) for place, name in enumerate(VALIDATION)}
    assert folder.brought.kind == "imagenet"
    assert "test/ has 5 images without a class" in folder.brought.doubts[0]
    assert folder.validation.open(0).startswith(b"\x89PNG")
    assert read_held_out(root, known=folder.classes).split == "validation"


def test_ilsvrcs_own_list_of_numbers_tells_no_class_and_annotations_do(imagenet: Path) -> None:
    """ImageSets/CLS-LOC/val.txt numbers the images; the class stands in Annotations/CLS-LOC/val/."""
    lists = imagenet / "ImageSets" / "CLS-LOC"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("".join(f"{name} {number}\n" for number, name in enumerate(VALIDATION, 1)))
    assert f"val/ has {len(VALIDATION)} images without a class" in " ".join(read_data_set(imagenet).brought.doubts)
    notes = imagenet / "Annotations" / "CLS-LOC" / "val"
    notes.mkdir(parents=True)
    for place, name in enumerate(VALIDATION):
        told = f"<annotation><object>\n<name>{truth(place)}</name></object></annotation>"
        (notes / f"{name}.xml").write_text(told)
    folder = read_data_set(imagenet)
    told_by = {Path(folder.validation.paths[k]).stem: folder.classes[y] for k, y in enumerate(folder.validation.labels)}
    assert told_by == {name: truth(place) for place, name in enumerate(VALIDATION)}


def test_imagenet_without_a_list_is_said_and_a_wrong_list_is_refused(imagenet: Path) -> None:
    folder = read_data_set(imagenet)
    assert folder.drawn == ("validation",)
    assert "is read with the file of its classes: LOC_val_solution.csv" in folder.brought.doubts[-1]
    (imagenet / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n")
    with pytest.raises(HardenerError, match="has 2 lines, and .*/val/ 9 images"):
        read_data_set(imagenet)
    (imagenet / "ILSVRC2012_validation_ground_truth.txt").write_text(_ids())
    with pytest.raises(HardenerError, match="Put map_clsloc.txt or meta.mat of the devkit beside it"):
        read_data_set(imagenet)
    name = "ILSVRC2012_validation_ground_truth.txt"
    assert read_data_set(imagenet, reading=Reading(ignore=(name,))).drawn == ("validation",)
    (imagenet / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\n{VALIDATION[0]},{NUMBERS[0]} 1 2 3 4\n")
    with pytest.raises(HardenerError, match="tells no class of 8 images"):
        read_data_set(imagenet)


def test_imagenet_whose_validation_was_sorted_is_one_of_class_folders(imagenet: Path) -> None:
    base = imagenet / "ILSVRC" / "Data" / "CLS-LOC"
    shutil.rmtree(base / "val")
    shutil.rmtree(base / "test")
    fill(base, [f"val/{truth(place)}/{name}.JPEG" for place, name in enumerate(VALIDATION)])
    solution(imagenet)
    assert read_source(imagenet, AS_FOUND).kind == "image-folder"


@pytest.mark.parametrize("packed", [False, True])
def test_tiny_imagenet_is_read_as_it_is_handed_out(packed: bool, tmp_path: Path) -> None:
    base = tmp_path / "tiny-imagenet-200"
    fill(base, [f"train/{number}/images/{number}_{place}.JPEG" for number in NUMBERS for place in range(4)])
    for number in NUMBERS:
        (base / "train" / number / f"{number}_boxes.txt").write_text(f"{number}_0.JPEG\t0\t0\t62\t62\n")
    fill(base, [f"val/images/val_{place}.JPEG" for place in range(9)])
    lines = [f"val_{place}.JPEG\t{truth(place)}\t0\t32\t44\t62\n" for place in range(9)]
    (base / "val" / "val_annotations.txt").write_text("".join(lines))
    fill(base, [f"test/images/test_{place}.JPEG" for place in range(5)])
    (base / "wnids.txt").write_text("\n".join(NUMBERS))
    root = Path(shutil.make_archive(str(base), "zip", tmp_path, base.name)) if packed else base
    folder = read_data_set(root)
    assert (folder.classes, sizes(folder), folder.brought.kind) == (
        tuple(NUMBERS), {"train": 12, "validation": 9}, "tiny-imagenet",
    )  # fmt: skip
    told = {Path(folder.validation.paths[k]).stem: folder.classes[y] for k, y in enumerate(folder.validation.labels)}
    assert told == {f"val_{place}": truth(place) for place in range(9)}
    assert "test/ has 5 images without a class" in folder.brought.doubts[0]
    (base / "val" / "val_annotations.txt").write_text("".join(lines[:-2]))
    with pytest.raises(HardenerError, match="tells no class of 2 images"):
        read_data_set(base)


def test_an_unlabelled_folder_beside_class_folders_is_left_out_and_said(tmp_path: Path) -> None:
    fill(tmp_path, [f"train/{name}/{place}.png" for name in ("cat", "dog") for place in range(6)])
    fill(tmp_path, [f"test/{place}.png" for place in range(5)])
    assert "test/ has 5 images and no class folders: it is left out" in read_source(tmp_path, AS_FOUND).doubts


@pytest.mark.parametrize("kind", ["food", "cub"])
def test_lists_of_splits_beside_class_folders_are_read(kind: str, tmp_path: Path) -> None:
    images = [f"{name}/{place:03}.jpg" for name in ("pie", "soup") for place in range(8)]
    fill(tmp_path, [f"images/{name}" for name in images])
    held = {name for name in images if name.endswith(("6.jpg", "7.jpg"))}
    if kind == "food":
        (tmp_path / "meta").mkdir()
        for split in ("train", "test"):
            own = [name.removesuffix(".jpg") for name in images if (name in held) is (split == "test")]
            (tmp_path / "meta" / f"{split}.txt").write_text("\n".join(own))
    else:
        (tmp_path / "images.txt").write_text("".join(f"{k} {name}\n" for k, name in enumerate(images, 1)))
        flags = [f"{k} {int(name not in held)}\n" for k, name in enumerate(images, 1)]
        (tmp_path / "train_test_split.txt").write_text("".join(flags))
    folder = read_data_set(tmp_path)
    assert (folder.classes, folder.brought.kind) == (("pie", "soup"), "split-lists")
    assert folder.test is not None
    assert {name.removeprefix("images/") for name in folder.test.paths} == held
    assert len(folder.train) + len(folder.validation) == 12


def test_lists_that_name_other_images_are_no_splits(tmp_path: Path) -> None:
    fill(tmp_path, [f"{name}/{place}.jpg" for name in ("pie", "soup") for place in range(8)])
    (tmp_path / "train.txt").write_text("one line\nanother\n")
    (tmp_path / "test.txt").write_text("pie/1\n")
    assert read_data_set(tmp_path).brought.kind == "image-folder"


def test_the_page_on_data_has_a_row_for_each_source_and_layout() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "own-data.md").read_text("utf-8")
    section = page.partition("### Other forms")[2].partition("\n### ")[0]
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", section, re.M))
    assert rows == {*SOURCES, *LAYOUTS} - {"foreign"}  # what that one knows has a table of its own


@pytest.mark.parametrize("held", ["val", "test"])
@pytest.mark.parametrize("loose", ["", "images/"])
def test_a_held_out_folder_beside_loose_images_stays_held_out(held: str, loose: str, tmp_path: Path) -> None:
    fill(tmp_path, [f"{loose}{name}.{place}.png" for name in ("cat", "dog") for place in range(8)])
    fill(tmp_path, [f"{held}/{name}.{place}.png" for name in ("cat", "dog") for place in range(8, 11)])
    fill(tmp_path, ["test2/cat.99.png"])
    folder = read_data_set(tmp_path, reading=Reading(label_from="{label}.{#}"))
    told = {"val": folder.validation, "test": folder.test}[held]
    assert told is not None
    assert {path.partition("/")[0] for path in told.paths} == {held}
    assert len(told) == 6
    assert "1 images in folders that may be other parts" in folder.brought.doubts[0]


@pytest.mark.parametrize("folders", ["train_50 val_50", "imgsTrain imgsVal", "data/train-v2 data/val-v2"])
def test_the_advised_pattern_keeps_splits_that_folders_tell_by_more_than_their_names(
    folders: str, tmp_path: Path
) -> None:
    train, val = folders.split()
    fill(tmp_path, [f"{train}/{place % 3}_{place}.png" for place in range(24)])
    fill(tmp_path, [f"{val}/{place % 3}_{place}.png" for place in range(450, 459)])
    with pytest.raises(HardenerError) as caught:
        read_data_set(tmp_path)
    pattern = shlex.split(str(caught.value).partition("--label-from ")[2])[0]
    found = read_data_set(tmp_path, reading=Reading(label_from=pattern))
    assert found.classes == ("0", "1", "2")
    assert {name.rpartition("/")[0] for name in found.validation.paths} == {val}
    assert len(found.validation) == 9


def test_a_pattern_that_reads_other_classes_in_each_split_is_not_advised(tmp_path: Path) -> None:
    fill(tmp_path, [f"train/{writer:02}_page{page}.png" for writer in range(6) for page in range(1, 7)])
    fill(tmp_path, [f"test/{writer:02}_tpage{page}.png" for writer in range(6) for page in range(1, 3)])
    with pytest.raises(HardenerError) as caught:
        read_data_set(tmp_path)
    assert re.findall(r"--label-from '(\S+)'", str(caught.value)) == ["{label}_{*}"]
    assert len(read_data_set(tmp_path, reading=Reading(label_from="{label}_{*}")).classes) == 6
