"""What is not read as it is: recognised by name, answered with a command, and that command works."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import shlex
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np
import pytest
import scipy.io
import yaml
from PIL import Image
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.reading import AS_FOUND
from hardener.data.data_set import read_data_set, read_source
from hardener.data.sources.foreign import Foreign
from hardener.errors import HardenerError

COLORS = {"cat": (250, 0, 0), "dog": (0, 250, 0)}


def picture(size: tuple[int, int] = (40, 40), color: tuple[int, int, int] = (0, 0, 250), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


def scene(path: Path) -> None:
    """Draw a blue image with a red cat at (2, 4) and a green dog at (20, 22), 12 wide and 10 high."""
    image = Image.new("RGB", (40, 40), (0, 0, 250))
    for (left, top), color in zip(((2, 4), (20, 22)), COLORS.values(), strict=True):
        image.paste(color, (left, top, left + 12, top + 10))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def coco(root: Path) -> Path:
    for split in ("train2017", "val2017"):
        found: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        found["categories"] = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
        for number in range(4):
            scene(root / split / f"{number:03}.png")
            found["images"].append({"id": number, "file_name": f"{number:03}.png", "width": 40, "height": 40})
            for kind, box in ((7, [2, 4, 12, 10]), (9, [20, 22, 12, 10]), (9, [1, 1, 3, 3])):
                found["annotations"].append({"image_id": number, "category_id": kind, "bbox": box, "iscrowd": 0})
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(found))
    return root


def coco_file(root: Path) -> Path:
    return coco(root) / "annotations" / "instances_train2017.json"


def roboflow(root: Path) -> Path:
    home = coco(root)
    for name in ("train", "val"):
        (home / f"{name}2017").rename(home / name)
        (home / "annotations" / f"instances_{name}2017.json").rename(home / name / "_annotations.coco.json")
    return home


def voc(root: Path) -> Path:
    home = root / "VOCdevkit" / "VOC2012"
    (home / "ImageSets" / "Main").mkdir(parents=True)
    (home / "Annotations").mkdir()
    for number in range(8):
        scene(home / "JPEGImages" / f"{number:03}.png")
        objects = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + 12}</xmax>"
            f"<ymax>{y + 10}</ymax></bndbox></object>"
            for kind, x, y in (("cat", 2, 4), ("dog", 20, 22))
        )
        text = f"<annotation><filename>{number:03}.png</filename>{objects}</annotation>"
        (home / "Annotations" / f"{number:03}.xml").write_text(text)
    for name, numbers in (("train", range(4)), ("val", range(4, 8))):
        (home / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{n:03}\n" for n in numbers))
    return root


def yolo(root: Path, *, inside: bool = False) -> Path:
    for split in ("train", "val"):
        for number in range(4):
            ways = [f"{split}/{what}" if inside else f"{what}/{split}" for what in ("images", "labels")]
            scene(root / ways[0] / f"{number:03}.png")
            (root / ways[1]).mkdir(parents=True, exist_ok=True)
            lines = ["0 0.2 0.225 0.3 0.25", "1 0.5 0.55 0.8 0.55 0.8 0.8 0.5 0.8"]  # a box, and a shape's corners
            (root / ways[1] / f"{number:03}.txt").write_text("\n".join(lines) + "\n")
    (root / "data.yaml").write_text(yaml.safe_dump({"names": ["cat", "dog"], "train": "images/train"}))
    return root


def side_by_side(make: Callable[[Path], Path], root: Path, *, flat: bool = False) -> Path:
    """Put what tells of an image beside it: in the folders of splits, or all in one."""
    made = make(root / "made")
    kinds = (".xml", ".txt", ".png")
    for file in [path for path in made.rglob("*") if path.suffix in kinds and path.parent.name != "Main"]:
        split = "" if flat else file.parent.name if make is yolo else "train" if file.stem < "004" else "valid"
        target = root / "beside" / split / f"{file.parent.name if make is yolo and flat else ''}{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    if make is yolo:
        (root / "beside" / "classes.txt").write_text("cat\ndog\n")
    return root / "beside"


def matlab(root: Path, *, newer: bool = False) -> Path:
    images = np.stack([np.full((6, 7, 3), color, np.uint8) for color in COLORS.values()] * 12, axis=3)
    if newer:
        with h5py.File(root / "d.mat", "w", userblock_size=512) as file:
            file["X"], file["y"] = images.T, np.array([[1, 2] * 12])
        with (root / "d.mat").open("r+b") as written:
            written.write(b"MATLAB 7.3 MAT-file".ljust(512))
    else:
        scipy.io.savemat(root / "d.mat", {"X": images, "y": np.array([[1, 2] * 12]).T})
    return root / "d.mat"


def numpy_files(root: Path) -> Path:
    for split in ("train", "test"):
        np.save(root / f"x_{split}.npy", np.stack([np.full((6, 7, 3), c, np.uint8) for c in COLORS.values()] * 8))
        np.save(root / f"y_{split}.npy", np.array(["cat", "dog"] * 8))
    return root


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def message(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def example(image: bytes, *labels: int) -> bytes:
    """Write a tf.train.Example as TensorFlow Datasets does; several labels as they are when one is marked by a 1."""
    numbers = b"".join(varint(label % (1 << 64)) for label in labels)
    entries = [("image", message(1, message(1, image))), ("label", message(3, message(1, numbers)))]
    return message(1, b"".join(message(1, message(1, name.encode()) + message(2, data)) for name, data in entries))


def record(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + b"\0" * 4 + data + b"\0" * 4


def tfrecord(root: Path, *, packed: bool = False) -> Path:
    for split in ("train", "test"):
        data = b"".join(
            record(example(picture(color=COLORS[name]), label)) for label, name in enumerate(COLORS) for _ in range(6)
        )
        path = root / f"pets-{split}.tfrecord-00000-of-00001{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(data) if packed else data)
    (root / "label.labels.txt").write_text("cat\ndog\n")
    return root


def one_hot(root: Path, *, marks: tuple[tuple[int, ...], ...] = ((1, 0), (0, 1))) -> Path:
    records = [record(example(picture(color=c), *m)) for c, m in zip(COLORS.values(), marks, strict=True)]
    (root / "train.tfrecord").write_bytes(b"".join(records * 12))
    return root / "train.tfrecord"


def lsun(root: Path) -> Path:
    for name, color in COLORS.items():
        with lmdb.open(str(root / f"{name}_lmdb"), map_size=1 << 22) as database, database.begin(write=True) as write:
            for number in range(12):
                write.put(f"{number:04}".encode(), picture(color=color, kind="WEBP"))
    return root


def caffe(root: Path) -> Path:
    for split in ("train", "test"):
        datum(root / f"mnist_{split}_lmdb")
    return root


def rooms(root: Path) -> Path:
    """Write LSUN's databases of two classes and two splits."""
    lsun(root)
    for name in COLORS:
        (root / f"{name}_lmdb").rename(root / f"{name}_train_lmdb")
    lsun(root)
    for name in COLORS:
        (root / f"{name}_lmdb").rename(root / f"{name}_val_lmdb")
    return root


def datum(root: Path) -> Path:
    with lmdb.open(str(root), map_size=1 << 22) as database, database.begin(write=True) as write:
        for number in range(24):
            color = list(COLORS.values())[number % 2]
            pixels = np.broadcast_to(np.array(color[::-1], np.uint8)[:, None, None], (3, 5, 4)).tobytes()
            numbers = b"".join(varint(f << 3) + varint(v) for f, v in ((1, 3), (2, 5), (3, 4), (5, number % 2)))
            write.put(f"{number:08}".encode(), numbers + message(4, pixels))
    return root


def hdf5(root: Path) -> Path:
    with h5py.File(root / "d.h5", "w") as file:
        for split in ("train", "test"):
            file[f"{split}_images"] = np.stack([np.full((6, 7, 3), c, np.uint8) for c in COLORS.values()] * 8)
            file[f"{split}_labels"] = np.array([b"cat", b"dog"] * 8)
    return root / "d.h5"


def patches(root: Path) -> Path:
    for split in ("train", "valid"):
        with h5py.File(root / f"camelyon_split_{split}_x.h5", "w") as file:
            file["x"] = np.stack([np.full((6, 7, 3), color, np.uint8) for color in COLORS.values()] * 8)
        with h5py.File(root / f"camelyon_split_{split}_y.h5", "w") as file:
            file["y"] = np.array([0, 1] * 8).reshape(-1, 1, 1, 1)
    return root


def cifar(root: Path) -> Path:
    rows = np.stack([np.repeat(np.array(color, np.uint8), 1024) for color in COLORS.values()] * 6)
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        held = {b"data": rows, b"labels": [0, 1] * 6, b"filenames": [b"a.png"] * 12}
        (root / name).write_bytes(pickle.dumps(held, protocol=2))
    (root / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog"]}, protocol=2))
    return root


def digits(root: Path) -> Path:
    """Write a column a pixel, as Kaggle's do; in colour, so that what came is known again."""
    rows = [["label", *(f"pixel{k}" for k in range(300))]]
    rows += [[name, *map(str, list(color) * 100)] for _ in range(12) for name, color in COLORS.items()]
    (root / "digits.csv").write_text("\n".join(map(",".join, rows)))
    return root / "digits.csv"


def faces(root: Path) -> Path:
    """Write a column of all pixels, as FER-2013's is."""
    rows = [["emotion", "pixels", "Usage"]]
    for split in ("Training", "PublicTest"):
        rows += [
            [name, " ".join(map(str, list(color) * 100)), split] for _ in range(6) for name, color in COLORS.items()
        ]
    (root / "faces.csv").write_text("\n".join(map(",".join, rows)))
    return root / "faces.csv"


DRAWN = {"train": 12, "validation": 2, "test": 2}
KINDS: dict[str, tuple[Callable[[Path], Path], dict[str, int], tuple[int, int]]] = {
    "coco": (coco, {"train": 8, "validation": 8}, (12, 10)),
    "coco, a file": (coco_file, {"train": 4, "validation": 2, "test": 2}, (12, 10)),
    "coco, a list a folder": (roboflow, {"train": 8, "validation": 8}, (12, 10)),
    "voc": (voc, {"train": 8, "validation": 8}, (12, 10)),
    "voc, side by side": (partial(side_by_side, voc), {"train": 8, "validation": 8}, (12, 10)),
    "voc, all in one folder": (partial(side_by_side, voc, flat=True), DRAWN, (12, 10)),
    "yolo, side by side": (partial(side_by_side, yolo), {"train": 8, "validation": 8}, (12, 10)),
    "yolo, all in one folder": (partial(side_by_side, yolo, flat=True), {"train": 8, "validation": 8}, (12, 10)),
    "matlab": (matlab, {"train": 20, "validation": 2, "test": 2}, (7, 6)),
    "matlab, newer": (partial(matlab, newer=True), {"train": 20, "validation": 2, "test": 2}, (7, 6)),
    "numpy files": (numpy_files, {"train": 14, "validation": 2, "test": 16}, (7, 6)),
    "yolo": (yolo, {"train": 8, "validation": 8}, (12, 10)),
    "yolo, inside": (partial(yolo, inside=True), {"train": 8, "validation": 8}, (12, 10)),
    "tfrecord": (tfrecord, {"train": 10, "validation": 2, "test": 12}, (40, 40)),
    "tfrecord, packed": (partial(tfrecord, packed=True), {"train": 10, "validation": 2, "test": 12}, (40, 40)),
    "tfrecord, one-hot": (one_hot, {"train": 20, "validation": 2, "test": 2}, (40, 40)),
    "lmdb": (lsun, {"train": 20, "validation": 2, "test": 2}, (40, 40)),
    "lmdb of datums": (datum, {"train": 20, "validation": 2, "test": 2}, (4, 5)),
    "lmdb of datums and splits": (caffe, {"train": 22, "validation": 2, "test": 24}, (4, 5)),
    "lmdb, a class and a split": (rooms, {"train": 24, "validation": 24}, (40, 40)),
    "hdf5": (hdf5, {"train": 14, "validation": 2, "test": 16}, (7, 6)),
    "hdf5 in two": (patches, {"train": 16, "validation": 16}, (7, 6)),
    "pixels": (digits, {"train": 20, "validation": 2, "test": 2}, (10, 10)),
    "pixels and splits": (faces, {"train": 10, "validation": 2, "test": 12}, (10, 10)),
    "cifar": (cifar, {"train": 22, "validation": 2, "test": 12}, (32, 32)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "sizes", "shape"), KINDS.values(), ids=KINDS.keys())
def test_what_is_not_read_is_named_and_the_command_converts_it(
    make: Callable[[Path], Path], sizes: dict[str, int], shape: tuple[int, int], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "from").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HardenerError, match="It is not read as it is. Convert it into class folders: ") as caught:
        read_data_set(make(tmp_path / "from"))
    command, _, target = str(caught.value).partition("class folders: ")[2].partition("; then pass --data ")
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert f"{sum(sizes.values())} images of 2 classes" in result.output.replace("\n", "")
    folder = read_data_set(Path(shlex.split(target.removesuffix("."))[0]))
    assert {split: len(files) for split, files in folder.splits.items()} == sizes
    for files in folder.splits.values():
        for place, label in enumerate(files.labels):
            with Image.open(io.BytesIO(files.open(place))) as image:
                assert image.size == shape
                color = image.convert("RGB").getpixel((2, 2))
            want = list(COLORS.values())[label]
            assert isinstance(color, tuple)
            assert all(abs(ours - theirs) < 6 for ours, theirs in zip(color, want, strict=True))


def test_a_category_an_image_without_boxes_is_read_as_it_is(tmp_path: Path) -> None:
    found: dict[str, Any] = {"categories": [{"id": 1, "name": "oak"}, {"id": 2, "name": "elm"}]}
    found["images"] = [{"id": k, "file_name": f"imgs/{k}.png"} for k in range(20)]
    found["annotations"] = [{"id": k, "image_id": k, "category_id": 1 + k % 2} for k in range(20)]
    for item in found["images"]:
        scene(tmp_path / item["file_name"])
    (tmp_path / "train2019.json").write_text(json.dumps(found))
    folder = read_data_set(tmp_path / "train2019.json")
    assert folder.classes == ("elm", "oak")
    assert len(folder.train) == 16


@pytest.mark.parametrize("name", ["a.pkl", "a.pth", "a.npy", "a.7z", "a.rar", "a.xlsx"])
def test_other_files_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(HardenerError, match=rf"{name} is .*(Save|Unpack|plain arrays)"):
        read_source(tmp_path / name, AS_FOUND)


def test_boxes_beside_the_images_of_class_folders_are_left_alone(tmp_path: Path) -> None:
    for name in COLORS:
        for number in range(4):
            scene(tmp_path / name / f"{number}.png")
            (tmp_path / name / f"{number}.xml").write_text("<annotation></annotation>")
            (tmp_path / name / f"{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    assert not Foreign().recognises(tmp_path)
    assert read_data_set(tmp_path).classes == ("cat", "dog")


def test_weights_beside_class_folders_are_no_data(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/2.png", "dog/3.png"):
        scene(tmp_path / name)
    for name in ("model.h5", "notes.json", "classes.txt", "model.pth"):
        (tmp_path / name).write_bytes(b"{}")
    assert not Foreign().recognises(tmp_path)
    assert read_data_set(tmp_path).classes == ("cat", "dog")


def _trap(folder: Path) -> Path:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (folder / "sprung",))

    cifar(folder)
    (folder / "data_batch_2").write_bytes(pickle.dumps({b"data": Trap(), b"labels": [0]}))
    return folder


def _outside(folder: Path) -> Path:
    path = coco_file(folder)
    path.write_text(path.read_text().replace('"000.png"', '"../../000.png"'))
    return path


def _entities(folder: Path) -> Path:
    path = voc(folder) / "VOCdevkit" / "VOC2012" / "Annotations" / "000.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "b">]>' + path.read_text())
    return folder


def _cut(folder: Path) -> Path:
    path = tfrecord(folder) / "pets-train.tfrecord-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-9])
    return folder


def _pickled(folder: Path) -> Path:
    with lmdb.open(str(folder), map_size=1 << 22) as database, database.begin(write=True) as write:
        write.put(b"0", pickle.dumps(("image", 1)))
    return folder


def _lonely(folder: Path) -> Path:
    with h5py.File(folder / "d.h5", "w") as file:
        file["weights"] = np.zeros(3)
    return folder / "d.h5"


def _unnamed(folder: Path, label: int) -> Path:
    (folder / "label.labels.txt").write_text("cat\ndog\n")
    return one_hot(folder, marks=((0,), (label,)))


def _beyond(folder: Path) -> Path:
    cifar(folder)
    batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, -1]}
    (folder / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=2))
    return folder


WRONG: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a trap in a pickle": (_trap, "data_batch_2 is no batch of CIFAR's: it asks for"),
    "an image outside": (_outside, r"names ../../000.png, which is not below .* --images-root DIR"),
    "entities": (_entities, "000.xml defines entities"),
    "a cut record": (_cut, "is damaged: its last record is cut"),
    "pickles in LMDB": (_pickled, "is neither an image file nor a Datum"),
    "no images": (_lonely, "holds weights, and no arrays that belong together"),
    "two labels": (partial(one_hot, marks=((1, 0), (1, 1))), "record 1 of .* has 2 values of label; an image has one"),
    "a label without a name": (partial(_unnamed, label=2), "has the class 2, and 2 classes are named, 0 to 1"),
    "a label untold": (partial(_unnamed, label=-1), "has the class -1, and 2 classes are named"),
    "a label untold, cifar": (_beyond, "image 1 of .*data_batch_2 has the class -1, and 2 classes are named, 0 to 1"),
    "nothing known": (lambda folder: folder, "is nothing that is converted. What is: COCO"),
}


@pytest.mark.parametrize(("make", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_converted_is_refused_and_leaves_nothing(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    source = make(tmp_path / "from")
    result = CliRunner().invoke(app, ["convert", str(source), str(tmp_path / "to" / "made")])
    assert result.exit_code == 2
    assert re.search(says, " ".join(result.output.split())), result.output
    assert list((tmp_path / "to").iterdir()) == []
    assert not (tmp_path / "from" / "sprung").exists()


def test_a_target_that_exists_is_left_alone(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["convert", str(coco(tmp_path)), str(tmp_path)])
    assert result.exit_code == 2
    assert "is there already. Name a folder that is not." in " ".join(result.output.split())
