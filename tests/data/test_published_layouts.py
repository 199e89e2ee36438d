"""Data sets whose classes or splits stand in files of their own, each as it is handed out, small."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io

import hardener.data.matlab
from hardener.config.reading import Reading
from hardener.data.data_set import DataSet, read_data_set, read_source
from hardener.errors import HardenerError

Truth = dict[str, set[tuple[str, str]]]  # split -> (the end of a path, class)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """MATLAB files are read without a process of their own, which takes half a second."""

    def run(words: list[str], **asked: object) -> None:
        with contextlib.suppress(Exception):
            hardener.data.matlab._convert(words[4:])

    monkeypatch.setattr("hardener.data.matlab.subprocess", SimpleNamespace(run=run))


def fill(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x89PNG")  # nothing is opened


def write(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def matlab(file: Path, **variables: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(file, variables)


def texts(names: Iterable[str]) -> np.ndarray:
    found = list(names)
    column = np.empty((len(found), 1), object)
    column[:, 0] = found
    return column


def pets(root: Path) -> Truth:
    names = [f"{name}_{number}" for name in ("Abyssinian", "american_bulldog") for number in range(6)]
    fill(root, [f"images/{name}.jpg" for name in names] + [f"annotations/trimaps/{name}.png" for name in names])
    told = {name: f"{name} {1 + name.startswith('am')} 1 1" for name in names}
    write(root / "annotations/trainval.txt", [told[name] for name in names if name[-1] < "4"])
    write(root / "annotations/test.txt", [told[name] for name in names if name[-1] >= "4"])
    write(root / "annotations/list.txt", ["#Image CLASS-ID SPECIES BREED ID", *told.values()])
    return {"test": {(f"{name}.jpg", name.rpartition("_")[0]) for name in names if name[-1] >= "4"}}


def flowers(root: Path) -> Truth:
    numbers, labels = range(1, 23), [1 + k % 11 for k in range(22)]
    fill(root, [f"jpg/image_{k:05}.jpg" for k in numbers])
    matlab(root / "imagelabels.mat", labels=[labels])
    matlab(root / "setid.mat", trnid=[list(range(1, 12))], valid=[[12, 13]], tstid=[list(range(14, 23))])
    held = {"validation": range(12, 14), "test": range(14, 23)}
    return {split: {(f"image_{k:05}.jpg", str(labels[k - 1])) for k in own} for split, own in held.items()}


KINDS = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]


def cars(root: Path) -> Truth:
    names = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]
    fill(root, [f"cars_{split}/{k:05}.jpg" for split in ("train", "test") for k in range(1, 9)])
    rows = [(np.uint8(1), np.uint8(1 + k % 2), f"{k:05}.jpg") for k in range(1, 9)]
    matlab(root / "devkit/cars_train_annos.mat", annotations=np.array([rows], KINDS))
    matlab(root / "cars_test_annos_withlabels.mat", annotations=np.array([rows[:4]], KINDS))
    matlab(root / "devkit/cars_meta.mat", class_names=texts(names).T)
    return {"test": {(f"cars_test/{k:05}.jpg", names[k % 2]) for k in range(1, 5)}}


def dogs(root: Path) -> Truth:
    names = [f"{name}/{name[:9]}_{k}.jpg" for name in ("n02085620-Chihuahua", "n02085782-Spaniel") for k in range(6)]
    fill(root / "Images", names)
    held = [name for name in names if name[-5] > "3"]
    matlab(root / "train_list.mat", file_list=texts(name for name in names if name not in held))
    matlab(root / "test_list.mat", file_list=texts(held))
    return {"test": {(name, name.partition("/")[0]) for name in held}}


def aircraft(root: Path) -> Truth:
    names, data = ["707-320", "Boeing 737/400"], root / "fgvc-aircraft-2013b" / "data"
    fill(data, [f"images/{k:07}.jpg" for k in range(12)])
    parts = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}
    for part, own in parts.items():
        write(data / f"images_variant_{part}.txt", [f"{k:07} {names[k % 2]}" for k in own])
        write(data / f"images_manufacturer_{part}.txt", [f"{k:07} Boeing" for k in own])
    return {"test": {(f"{k:07}.jpg", names[k % 2]) for k in parts["test"]}}


def signs(root: Path) -> Truth:
    for number in range(2):
        own = root / "GTSRB" / "Final_Training" / "Images" / f"{number:05}"
        fill(own, [f"00000_{k:05}.ppm" for k in range(6)])
        write(
            own / f"GT-{number:05}.csv", ["Filename;Width;ClassId", *(f"00000_{k:05}.ppm;9;{number}" for k in range(6))]
        )
    test = root / "GTSRB" / "Final_Test" / "Images"
    fill(test, [f"{k:05}.ppm" for k in range(4)])
    write(test / "GT-final_test.test.csv", ["Filename;Width", *(f"{k:05}.ppm;9" for k in range(4))])
    write(root / "GT-final_test.csv", ["Filename;Width;ClassId", *(f"{k:05}.ppm;9;{k % 2}" for k in range(4))])
    return {"test": {(f"Final_Test/Images/{k:05}.ppm", f"{k % 2:05}") for k in range(4)}}


def kaggles_signs(root: Path) -> Truth:
    train = [f"Train/{number}/00000_{k:05}.png" for number in range(2) for k in range(6)]
    fill(root, [*train, *(f"Test/{k:05}.png" for k in range(4)), "Meta/0.png", "Meta/1.png"])
    write(root / "Train.csv", ["Width,ClassId,Path", *(f"9,{name.split('/')[1]},{name}" for name in train)])
    write(root / "Test.csv", ["Width,ClassId,Path", *(f"9,{k % 2},Test/{k:05}.png" for k in range(4))])
    write(root / "Meta.csv", ["Path,ClassId", "Meta/0.png,0", "Meta/1.png,1"])
    return {"test": {(f"Test/{k:05}.png", str(k % 2)) for k in range(4)}}


def textures(root: Path) -> Truth:
    names = [f"{name}/{name}_{k}.jpg" for name in ("banded", "dotted") for k in range(6)]
    fill(root / "images", names)
    for number in (1, 2, 10):
        for split, own in (("train", "01"), ("val", "23"), ("test", "45")):
            listed = [name for name in names if str((int(name[-5]) + number - 1) % 6) in own]
            write(root / "labels" / f"{split}{number}.txt", listed)
    write(root / "labels" / "labels_joint_anno.txt", names)
    return {"test": {(name, name.partition("/")[0]) for name in names if name[-5] in "45"}}


def satellite(root: Path) -> Truth:
    names = [f"{name}/{name}_{k}.jpg" for name in ("Forest", "SeaLake") for k in range(6)]
    fill(root / "EuroSAT", names)
    for split, own in (("train", "0123"), ("validation", "4"), ("test", "5")):
        rows = [f"{at},{name},0,{name.partition('/')[0]}" for at, name in enumerate(names) if name[-5] in own]
        write(root / "EuroSAT" / f"{split}.csv", [",Filename,Label,ClassName", *rows])
    return {
        split: {(name, name.partition("/")[0]) for name in names if name[-5] == k}
        for split, k in (("validation", "4"), ("test", "5"))
    }


HANDED_OUT = [pets, flowers, cars, dogs, aircraft, signs, kaggles_signs, textures, satellite]


def answers(folder: DataSet, split: str) -> set[tuple[str, str]]:
    files = folder.splits[split]  # type: ignore[index]
    return {(path, folder.classes[label]) for path, label in zip(files.paths, files.labels, strict=True)}


@pytest.mark.parametrize("make", HANDED_OUT)
def test_splits_and_classes_are_those_that_the_files_tell(make: Callable[[Path], Truth], tmp_path: Path) -> None:
    truth = make(tmp_path / "d")
    for root in (tmp_path / "d", Path(shutil.make_archive(str(tmp_path / "d"), "zip", tmp_path / "d"))):
        folder = read_data_set(root)
        for split, told in truth.items():
            found = answers(folder, split)
            assert len(found) == len(told)
            assert all(any(path.endswith(end) and label == name for path, label in found) for end, name in told)
        assert not set(truth) & set(folder.drawn)
        assert not set(folder.train.paths) & set(folder.test.paths if folder.test else ())
        assert not any("trimap" in path or "Meta/" in path for path in folder.train.paths)
        assert make is not flowers or folder.classes == tuple(map(str, range(1, 12)))


def test_what_lists_name_and_is_not_there_is_said(tmp_path: Path) -> None:
    pets(tmp_path)
    (tmp_path / "images" / "Abyssinian_0.jpg").unlink()
    assert (
        "1 images that annotations/trainval.txt, annotations/test.txt names"
        in read_data_set(tmp_path).brought.doubts[0]
    )


def test_a_test_without_its_classes_is_said_and_a_cut_file_is_refused(tmp_path: Path) -> None:
    cars(tmp_path)
    (tmp_path / "cars_test_annos_withlabels.mat").unlink()
    folder = read_data_set(Path(shutil.make_archive(str(tmp_path / "d"), "zip", tmp_path)))
    assert folder.test is None
    assert "cars_test/ is read with cars_test_annos_withlabels.mat" in folder.brought.doubts[0]
    (tmp_path / "devkit" / "cars_meta.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(HardenerError, match=r"cars_meta.mat is no MATLAB file that can be read"):
        read_data_set(tmp_path)


def test_files_that_hold_something_else_are_refused_with_the_way(tmp_path: Path) -> None:
    fill(tmp_path, [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(4)])
    write(tmp_path / "GT-final_test.csv", ["Filename;ClassId", "1.ppm;one"])
    with pytest.raises(HardenerError, match=r"of GTSRB, and they hold something else .* --ignore '\*est.csv'"):
        read_data_set(tmp_path)
    assert read_data_set(tmp_path, reading=Reading(ignore=("*est.csv",))).classes == ("cat", "dog")


def test_numbered_lists_are_taken_by_the_first_number_and_the_next_by_ignoring_it(tmp_path: Path) -> None:
    textures(tmp_path)
    folder = read_data_set(tmp_path)
    assert "the first of 3 such sets; --ignore '*1.txt' takes the next" in folder.brought.notes[-1]
    other = read_data_set(tmp_path, reading=Reading(ignore=("*1.txt",)))
    assert "labels/test2.txt" in other.brought.notes[-1]
    assert other.test is not None
    assert {path[-5] for path in other.test.paths} == {"3", "4"}


def test_what_is_no_object_among_caltechs_classes_is_said(tmp_path: Path) -> None:
    fill(
        tmp_path,
        [f"101_ObjectCategories/{name}/{k}.jpg" for name in ("ant", "BACKGROUND_Google", "bass") for k in range(4)],
    )
    folder = read_data_set(tmp_path)
    assert "--ignore BACKGROUND_Google leaves it out" in folder.brought.doubts[0]
    assert read_data_set(tmp_path, reading=Reading(ignore=("BACKGROUND_Google",))).classes == ("ant", "bass")


def test_house_numbers_are_read_from_arrays_and_their_photographs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 30), ("test", 10)):
        arrays[split] = random.integers(0, 256, (32, 32, 3, count), np.uint8)
        matlab(tmp_path / f"{split}_32x32.mat", X=arrays[split], y=(np.arange(count) % 10 + 1)[:, None])
    folder = read_data_set(tmp_path)
    assert (folder.classes, folder.brought.kind, folder.drawn) == (tuple("0123456789"), "svhn", ("validation",))
    assert folder.test is not None
    assert list(folder.test.labels) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert folder.test.open(3).endswith(arrays["test"][:, :, :, 3].tobytes())
    assert len(read_source(tmp_path / "test_32x32.mat", Reading()).splits[None]) == 10
    monkeypatch.setattr("hardener.data.matlab.subprocess", subprocess)
    (tmp_path / "test_32x32.mat").write_bytes((tmp_path / "test_32x32.mat").read_bytes()[:300])
    with pytest.raises(HardenerError, match="test_32x32.mat is no MATLAB file that can be read"):
        read_data_set(tmp_path)
    fill(tmp_path / "full", [f"train/{k}.png" for k in range(4)])
    (tmp_path / "full" / "train" / "digitStruct.mat").write_bytes(b"")
    with pytest.raises(HardenerError, match="Take the cropped digits, train_32x32.mat"):
        read_data_set(tmp_path / "full")
