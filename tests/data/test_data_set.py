from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from oracles import write_image_folder

from hardener.catalog import Entry
from hardener.data.data_set import read_data_set, read_held_out
from hardener.data.loader import ImageShape, load_images
from hardener.data.sources import SOURCES
from hardener.errors import HardenerError
from hardener.progress import Silent

SOURCE_OF_ZIPS = """
import zipfile

from hardener.data.brought import Brought, Group


class Members:
    def read(self, root, path):
        with zipfile.ZipFile(root) as archive:
            return archive.read(path)

    def stamps(self, root, paths):
        return str(root.stat().st_mtime_ns).encode()


class Zip:
    def recognises(self, root):
        return root.suffix == ".pack"

    def read(self, root, reading):
        with zipfile.ZipFile(root) as archive:
            paths = tuple(sorted(name for name in archive.namelist() if not name.endswith("/")))
        names = tuple(path.split("/")[0] for path in paths)
        return Brought({None: Group(root, paths, names, Members())})
"""


def test_class_folders_alone_are_split_in_three_without_overlap(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "d", {"a": 40, "b": 20})
    folder = read_data_set(root, val_fraction=0.1, test_fraction=0.2)
    assert folder.test is not None
    parts = [set(folder.train.paths), set(folder.validation.paths), set(folder.test.paths)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 60
    assert [folder.test.labels.count(0), folder.test.labels.count(1)] == [8, 4]
    assert [folder.validation.labels.count(0), folder.validation.labels.count(1)] == [3, 2]
    assert folder.classes == ("a", "b")


def test_the_split_depends_on_seed_and_names_alone(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "d", {"a": 30, "b": 30})
    again = shutil.copytree(root, tmp_path / "copy")
    first, same, other = (read_data_set(path, seed=seed) for path, seed in ((root, 0), (again, 0), (root, 1)))
    assert first.listings() == same.listings()
    assert first.listings()["test"] != other.listings()["test"]


def test_own_splits_are_taken_where_they_stand(tmp_path: Path) -> None:
    for name, count in (("train", 10), ("valid", 4), ("test", 5)):
        write_image_folder(tmp_path / "d" / name, {"a": count, "b": count})
    folder = read_data_set(tmp_path / "d")
    assert folder.test is not None
    assert [len(folder.train), len(folder.validation), len(folder.test)] == [20, 8, 10]
    held = read_held_out(tmp_path / "d")
    assert (held.classes, len(held.files), held.split) == (("a", "b"), 10, "test")


def test_without_a_validation_folder_it_is_drawn_from_train_and_test_stays(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "d" / "train", {"a": 20, "b": 20})
    folder = read_data_set(tmp_path / "d")
    assert folder.test is None
    assert [len(folder.train), len(folder.validation)] == [36, 4]


def test_a_validation_folder_can_be_named(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "d" / "train", {"a": 20, "b": 20})
    own = write_image_folder(tmp_path / "elsewhere", {"a": 3, "b": 3})
    folder = read_data_set(tmp_path / "d", validation_root=own)
    assert [len(folder.train), len(folder.validation)] == [40, 6]
    assert folder.validation.root == own


def test_hidden_files_other_files_and_nested_folders(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path / "d", {"a": 5, "b": 5})
    write_image_folder(root / "a", {"deep": 2})
    (root / ".cache").mkdir()
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / "._001.png").write_text("x")
    folder = read_data_set(root)
    assert folder.test is not None
    assert len(folder.train) + len(folder.validation) + len(folder.test) == 12
    assert folder.classes == ("a", "b")


def test_each_fault_has_one_clear_error(tmp_path: Path) -> None:
    def fails(root: Path, match: str) -> None:
        with pytest.raises(HardenerError, match=match):
            read_data_set(root)

    fails(tmp_path / "nowhere", "no such folder: .*nowhere")
    (tmp_path / "file").write_text("x")
    fails(tmp_path / "file", "is a file that no source of images knows. Pass a folder of class folders")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "has no images and no class folders")
    write_image_folder(tmp_path / "flat", {"": 3})
    fails(tmp_path / "flat", "has 3 images and no class folders. Put each class in its own folder")
    (tmp_path / "hollow" / "a").mkdir(parents=True)
    fails(tmp_path / "hollow", r"has 1 folders and no images \(.jpg")
    write_image_folder(tmp_path / "one", {"a": 3})
    fails(tmp_path / "one", "has one class, 'a'")
    write_image_folder(tmp_path / "gap", {"a": 3, "b": 3})
    (tmp_path / "gap" / "c").mkdir()
    fails(tmp_path / "gap", "class folders without images: c")
    write_image_folder(tmp_path / "few", {"a": 9, "b": 1})
    fails(tmp_path / "few", "class 'b' of .*few has too few images to hold some out")
    write_image_folder(tmp_path / "differ" / "train", {"a": 9, "b": 9})
    write_image_folder(tmp_path / "differ" / "test", {"a": 2, "z": 2})
    fails(tmp_path / "differ", "test has other classes than the training images: it lacks b and has z besides")
    write_image_folder(tmp_path / "testonly" / "test", {"a": 2, "b": 2})
    fails(tmp_path / "testonly", "has a test split but no train/. Put training images in .*testonly/train/CLASS/")


def test_a_new_source_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_image_folder(tmp_path / "d", {"a": 20, "b": 10})
    archive = Path(shutil.make_archive(str(tmp_path / "d"), "zip", root)).rename(tmp_path / "d.pack")
    with pytest.raises(HardenerError, match="d.pack is a file that no source of images knows"):
        read_data_set(archive)
    (tmp_path / "source_of_zips.py").write_text(SOURCE_OF_ZIPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(SOURCES, "zip", Entry("source_of_zips:Zip", "a zip of class folders"))
    here, there = read_data_set(root), read_data_set(archive)
    assert (here.classes, here.train.paths, here.listings()) == (there.classes, there.train.paths, there.listings())
    shape = ImageShape(8, 8, 3)
    own, zipped = (load_images(found.train, shape, cache=None) for found in (here, there))
    assert own.fingerprint == zipped.fingerprint
    assert bool((own.take(range(len(own)))[0] == zipped.take(range(len(zipped)))[0]).all())


def test_listing_tells_how_far_it_is_and_a_whole_file_system_is_not_listed(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "imgs", {"cat": 5, "dog": 6})
    counted: list[int] = []

    class Counting(Silent):
        def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
            assert (what, total, unit) == ("listing", 0, "files")
            return nullcontext(counted.append)

    read_data_set(tmp_path / "imgs", reporter=Counting())
    assert sum(counted) == 2 + 5 + 6
    read_held_out(tmp_path / "imgs", reporter=Counting())
    assert sum(counted) == 2 * (2 + 5 + 6)
    with pytest.raises(HardenerError, match="is the whole file system"):
        read_data_set(Path("/"))
