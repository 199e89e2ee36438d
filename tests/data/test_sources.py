"""What people bring besides folders: each gives the images that went in, or is refused with what to do."""

from __future__ import annotations

import gzip
import io
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import write_image_folder
from PIL import Image

from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import read_data_set, read_held_out, read_source
from hardener.data.image_files import ImageFiles
from hardener.data.loader import ImageShape, load_images
from hardener.errors import HardenerError


def pixels_of(files: ImageFiles) -> dict[str, bytes]:
    """The decoded pixels of each image by its name."""
    found = {}
    for place, path in enumerate(files.paths):
        with Image.open(io.BytesIO(files.open(place))) as image:
            found[path] = image.tobytes()
    return found


def zipped(folder: Path, target: Path) -> Path:
    return Path(shutil.make_archive(str(target), "zip", folder))


def tarred(kind: str) -> Callable[[Path, Path], Path]:
    return lambda folder, target: Path(shutil.make_archive(str(target), kind, folder))


PACKED = {"zip": zipped, "tar": tarred("tar"), "tar.gz": tarred("gztar"), "tar.xz": tarred("xztar")}


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("divided") / "d"
    for split, seed in (("Train", 0), ("test", 1)):
        write_image_folder(root / "set" / split, {"cat": 5, "dog": 4}, seed=seed)
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._cat.png").write_bytes(b"x")
    return root


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
def test_an_archive_holds_what_its_folder_holds(
    pack: Callable[[Path, Path], Path], divided: Path, tmp_path: Path
) -> None:
    archive = pack(divided, tmp_path / "packed")
    here, there = read_data_set(divided), read_data_set(archive)
    assert (here.classes, here.listings()) == (there.classes, there.listings())
    for own, packed in zip(here.splits.values(), there.splits.values(), strict=True):
        assert pixels_of(own) == pixels_of(packed)
    assert list(tmp_path.iterdir()) == [archive]


def test_threads_read_an_archive_at_once(divided: Path, tmp_path: Path) -> None:
    for pack in (zipped, tarred("tar")):
        files = read_data_set(pack(divided, tmp_path / "packed")).train
        alone = [files.open(place) for place in range(len(files))]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(files.open, [*range(len(files))] * 20)) == alone * 20


def test_an_archive_that_changed_is_decoded_again(divided: Path, tmp_path: Path) -> None:
    files = read_data_set(zipped(divided, tmp_path / "packed")).train
    before = files.store.stamps(files.root, files.paths[:1])
    with zipfile.ZipFile(tmp_path / "packed.zip", "a") as archive:
        archive.writestr("set/Train/cat/more.png", b"x")
    assert files.store.stamps(files.root, files.paths[:1]) != before


def test_names_that_lead_out_of_an_archive_are_left_out(divided: Path, tmp_path: Path) -> None:
    target = zipped(divided, tmp_path / "packed")
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../cat/evil.png", b"x")
        archive.writestr("/etc/cat/evil.png", b"x")
    told = {fact.reason: fact.count for fact in read_source(target, AS_FOUND).left_out}
    assert told["names that lead out of the archive"] == 2


def test_an_encrypted_zip_and_a_torn_one_are_refused(divided: Path, tmp_path: Path) -> None:
    target = zipped(divided, tmp_path / "packed")
    data = bytearray(target.read_bytes())
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 8] |= 1
        place = data.find(b"PK\x01\x02", place + 4)
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(HardenerError, match="locked.zip is encrypted .* Unpack it with its password"):
        read_data_set(tmp_path / "locked.zip")
    for name, kind in (("torn.tar.gz", "gztar"), ("torn.tar", "tar")):
        whole = tarred(kind)(divided, tmp_path / "whole").read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 3])
        with pytest.raises(HardenerError, match=f"{name} (is no tar that can be read|has)"):
            read_data_set(tmp_path / name)


def test_a_link_in_a_tar_is_no_image(divided: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        archive.add(divided, ".")
        link = tarfile.TarInfo("set/Train/cat/passwd.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(read_data_set(tmp_path / "d.tar").train) + len(read_data_set(tmp_path / "d.tar").validation) == 9


def test_a_hard_link_in_a_tar_is_the_image_that_it_links_to_and_other_links_are_counted(
    divided: Path, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        archive.add(divided, ".")
        first = next(name for name in archive.getnames() if "cat" in name and name.endswith(".png"))
        for kind, target in ((tarfile.LNKTYPE, first), (tarfile.LNKTYPE, "nowhere"), (tarfile.SYMTYPE, "/etc/passwd")):
            link = tarfile.TarInfo(f"set/Train/dog/{kind.decode()}{target[:1]}.png")
            link.type, link.linkname = kind, target
            archive.addfile(link)
    brought = read_source(tmp_path / "d.tar", AS_FOUND)
    group = brought.splits["train"]
    place = next(place for place, path in enumerate(group.paths) if path.startswith("dog/1"))
    assert group.store.read(group.root, group.paths[place]) == (divided / first).read_bytes()
    assert len(group) == 10
    assert [(fact.reason, fact.count) for fact in brought.left_out if "link" in fact.reason] == [
        ("links that lead to no file in the archive", 2)
    ]


def arrays(count: int, *, channels: int = 0, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    shape = (count, 6, 7, channels) if channels else (count, 6, 7)
    return random.integers(0, 256, shape, dtype=np.uint8), np.arange(count, dtype=np.int64) % 12


def check(files: ImageFiles, images: NDArray[np.uint8], labels: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    assert [classes[label] for label in files.labels] == [str(label) for label in labels]
    for place, image in enumerate(images):
        with Image.open(io.BytesIO(files.open(place))) as found:
            assert (np.asarray(found) == image.squeeze()).all()


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
@pytest.mark.parametrize("names", ["{0}_images {0}_labels", "x_{0} y_{0}", "{0}/data {0}/target"])
def test_a_numpy_archive_gives_its_arrays(names: str, channels: int, tmp_path: Path) -> None:
    images, labels = names.split()
    held: dict[str, Any] = {}
    for split, seed, count in (("train", 0, 36), ("val", 1, 12), ("test", 2, 24)):
        some = arrays(count, channels=channels, seed=seed)
        held |= {
            images.format(split): some[0],
            labels.format(split): some[1][:, None] if "labels" in labels else some[1],
        }
    np.savez_compressed(tmp_path / "d.npz", **held)
    folder = read_data_set(tmp_path / "d.npz")
    assert folder.classes == tuple(map(str, range(12)))  # by their size: 2 stands before 10
    assert folder.test is not None
    for split, files in (("train", folder.train), ("val", folder.validation), ("test", folder.test)):
        check(files, held[images.format(split)], held[labels.format(split)].reshape(-1), folder.classes)
    assert read_held_out(tmp_path / "d.npz").split == "test"


def test_a_numpy_archive_without_splits_is_split_and_one_hot_labels_and_names_are_read(tmp_path: Path) -> None:
    images, labels = arrays(48)
    np.savez(tmp_path / "d.npz", images=images, labels=np.eye(12)[labels], class_names=[f"c{i:02}" for i in range(12)])
    folder = read_data_set(tmp_path / "d.npz")
    assert folder.classes[:2] == ("c00", "c01")
    assert {name: len(files) for name, files in folder.splits.items()} == {"train": 24, "validation": 12, "test": 12}


def test_channels_in_front_are_turned(tmp_path: Path) -> None:
    images, labels = arrays(24, channels=3)
    np.savez(tmp_path / "d.npz", train_images=images.transpose(0, 3, 1, 2), train_labels=labels)
    files = read_source(tmp_path / "d.npz", AS_FOUND).splits["train"].labelled(tuple(map(str, range(12))))
    check(files, images, labels, tuple(map(str, range(12))))


@pytest.mark.parametrize(
    ("held", "match"),
    [
        ({"images": np.zeros((4, 5, 5)), "labels": np.zeros(4, int)}, r"holds float64; .* \(images \* 255\)"),
        ({"images": np.zeros((4, 25), np.uint8), "labels": np.zeros(4, int)}, r"has the shape \(4, 25\)"),
        ({"images": np.zeros((4, 5, 5), np.uint8), "labels": np.zeros(3, int)}, "has 4 images and 3 labels"),
        ({"images": np.zeros((4, 5, 5), np.uint8), "labels": np.ones((4, 3), int)}, "an image has one class here"),
        (
            {"images": np.zeros((2, 5, 5), np.uint8), "labels": np.array([-1, 0]), "class_names": ["a", "b"]},
            "has the label -1, and 2 classes are named, 0 to 1",
        ),
        (
            {"images": np.zeros((2, 5, 5), np.uint8), "labels": np.array(["a", "c"]), "class_names": ["a", "b"]},
            "has the label 'c', which the names of classes lack",
        ),
        (
            {"images": np.zeros((0, 5, 5), np.uint8), "labels": np.zeros(0, int), "class_names": ["a", "b"]},
            "names classes without an image: a, b",
        ),
        ({"a": np.zeros(3)}, "Name arrays in pairs: train_images and train_labels"),
        ({"images": np.array([{}, {}], object), "labels": np.zeros(2, int)}, "holds pickled objects"),
    ],
)
def test_arrays_that_are_no_images_are_refused(held: dict[str, Any], match: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **held)
    with pytest.raises(HardenerError, match=match):
        read_data_set(tmp_path / "d.npz")


def test_names_of_classes_in_an_array_may_be_bytes_and_one_without_images_is_said(tmp_path: Path) -> None:
    images, labels = arrays(24)
    names = np.array([b"bg", b"cat", b"dog"])
    np.savez(tmp_path / "d.npz", images=images, labels=1 + labels[:, None] % 2.0, class_names=names)
    folder = read_data_set(tmp_path / "d.npz")
    assert folder.classes == ("cat", "dog")
    assert [doubt for doubt in folder.brought.doubts if "no training image has the class bg" in doubt]
    assert read_held_out(tmp_path / "d.npz").classes == ("bg", "cat", "dog")  # a model may know all three
    np.savez(tmp_path / "t.npz", images=images, labels=np.array([b"cat", b"dog"] * 12))
    assert read_data_set(tmp_path / "t.npz").classes == ("cat", "dog")


def test_arrays_in_no_pair_are_said(tmp_path: Path) -> None:
    images, labels = arrays(24)
    np.savez(
        tmp_path / "d.npz",
        x_train=images,
        y_train=labels,
        x_test=images,
        X_train_aug=images,
        y_val=labels,
        ids=labels,
    )
    said = read_source(tmp_path / "d.npz", AS_FOUND).doubts
    assert [doubt.partition(": array ")[2].partition(" ")[0] for doubt in said] == ["x_test", "X_train_aug", "y_val"]


def test_arrays_of_no_split_beside_those_of_train_are_refused_with_the_way(tmp_path: Path) -> None:
    images, labels = arrays(24)
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x=images, y=labels)
    with pytest.raises(
        HardenerError, match=r"splits \(x_train, y_train\) beside others \(x, y\): pass --ignore x --ig"
    ):
        read_data_set(tmp_path / "d.npz")
    assert sum(map(len, read_data_set(tmp_path / "d.npz", reading=Reading(ignore=("x", "y"))).splits.values())) == 24


def idx(array: NDArray[np.uint8]) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["{}-{}-{}-ubyte", "emnist-letters-{}-{}-{}-ubyte", "{}-{}.{}-ubyte"])
def test_idx_files_are_read_packed_or_not(name: str, packed: bool, tmp_path: Path) -> None:
    told = {}
    for split, seed in (("train", 0), ("t10k" if "emnist" not in name else "test", 1)):
        images, labels = told[split] = arrays(24, seed=seed)
        for what, kind, data in (("images", "idx3", images), ("labels", "idx1", labels.astype(np.uint8))):
            path = tmp_path / (name.format(split, what, kind) + (".gz" if packed else ""))
            path.write_bytes(gzip.compress(idx(data)) if packed else idx(data))
    brought = read_source(tmp_path, AS_FOUND)
    assert set(brought.splits) == {"train", "test"}
    for (images, labels), split in zip(told.values(), ("train", "test"), strict=True):
        assert brought.classes is not None
        check(brought.splits[split].labelled(brought.classes), images, labels, brought.classes)  # type: ignore[index]
    alone = next(path for path in tmp_path.iterdir() if "train" in path.name and "images" in path.name)
    assert len(read_source(alone, AS_FOUND).splits[None]) == 24


def test_idx_files_that_are_cut_or_alone_are_refused(tmp_path: Path) -> None:
    images, _ = arrays(12)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images)[:-5])
    with pytest.raises(HardenerError, match="is cut or too long"):
        read_data_set(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    with pytest.raises(HardenerError, match="has no labels beside it: there is no train-labels-idx1-ubyte"):
        read_data_set(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(gzip.compress(b"x" * 100)[:-9])
    with pytest.raises(HardenerError, match="train-labels-idx1-ubyte is damaged"):
        read_data_set(tmp_path)


@pytest.mark.parametrize("hundred", [True, False])
def test_cifar_is_read_in_its_binary_version(hundred: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = [f"name{place:02}" for place in range(10)]
    files = ["train.bin", "test.bin"] if hundred else ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]
    (tmp_path / ("fine_label_names.txt" if hundred else "batches.meta.txt")).write_text("\n".join(names) + "\n\n")
    planes = {name: random.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8) for name in files}
    for name, images in planes.items():
        rows = [bytes([7] * hundred + [place % 10]) + image.tobytes() for place, image in enumerate(images)]
        (tmp_path / name).write_bytes(b"".join(rows))
    folder = read_data_set(tmp_path)
    assert folder.classes == tuple(names)
    assert folder.test is not None
    assert len(folder.train) + len(folder.validation) == (20 if hundred else 40)
    group = read_source(tmp_path, AS_FOUND).splits["train"].labelled(tuple(names))
    for place, image in enumerate(np.concatenate([planes[name] for name in files if "test" not in name])):
        with Image.open(io.BytesIO(group.open(place))) as found:
            assert (np.asarray(found) == image.transpose(1, 2, 0)).all()
        assert group.labels[place] == place % 20 % 10


def test_pickled_batches_are_refused_unread(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    for name in ("data_batch_1", "test_batch", "batches.meta"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(HardenerError, match="CIFAR's Python version, of pickles. It is not read as it is. Convert it"):
        read_data_set(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_source_in_a_file_is_trained_on_from_a_cache_as_a_folder_is(tmp_path: Path) -> None:
    images, labels = arrays(48)
    np.savez(tmp_path / "d.npz", images=images, labels=labels)
    files = read_data_set(tmp_path / "d.npz").train
    loaded = load_images(files, ImageShape(6, 7, 1))
    assert (loaded.take([3])[0][0, 0].numpy() == images[int(files.paths[3].rpartition("/")[2])]).all()


def test_options_hold_for_archives_too(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "d" / "pets", {"cat": 4, "dog": 4})
    write_image_folder(tmp_path / "d" / "farm", {"cow": 4})
    write_image_folder(tmp_path / "d" / "old", {"cow": 4})
    archive = zipped(tmp_path / "d", tmp_path / "packed")
    assert read_data_set(archive, reading=Reading(class_depth=2, ignore=("old",))).classes == ("cat", "cow", "dog")


def test_an_array_file_that_claims_to_be_encrypted_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(mark) + flags] |= 0x41
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(HardenerError, match="no NumPy archive that can be read"):
        read_data_set(tmp_path / "a.npz")


def test_half_a_pair_of_letters_in_json_is_a_name_that_can_be_written(tmp_path: Path) -> None:
    for place in range(16):
        (tmp_path / f"{place}.png").write_bytes(b"")
    rows = [f'{{"path": "{place}.png", "label": "{("cat", chr(92) + "ud800")[place % 2]}"}}' for place in range(16)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    assert read_data_set(tmp_path / "a.jsonl").classes == ("cat", "\\ud800")
