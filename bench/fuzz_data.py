"""Data sets with odd names, damaged tables, archives and arrays: each is read, or refused in words.

What is read must hold: each image has a class that is named, no split has it twice, and it can be opened, or is an
error of the system. What lies outside is never given out.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import scipy.io
from fuzz_values import NUMBERS, Draw, damaged, text
from PIL import Image

from hardener.config.reading import Reading
from hardener.data.data_set import read_data_set

if TYPE_CHECKING:
    from fuzz_home import Home

_SECRET = b"what lies outside"
_WORDS = (
    "train", "Test", "val", "cat", "dog", "images", "labels", "masks", "fold1", "cat_train", "meta", "2019",
    "n01440764", "jpg", "annotations", "Images", "..data", "con", "é", "e\u0301", "Cat", "cat ", "__MACOSX", ".git",
    "Final_Test", "\udce9",
)  # fmt: skip
_FILES = (
    "train.txt", "test.txt", "labels.csv", "metadata.jsonl", "trainval.txt", "images.txt", "train_test_split.txt",
    "setid.mat", "imagelabels.mat", "cars_train_annos.mat", "train_list.mat", "test_list.mat", "GT-final_test.csv",
    "Train.csv", "Test.csv", "classes.txt", "a.json", "x.heic", "x.npy", "run.json", "data.yaml", "README", "1.txt",
)  # fmt: skip


def _png() -> bytes:
    packed = io.BytesIO()
    Image.new("L", (4, 4), 9).save(packed, "PNG")
    return packed.getvalue()


_IMAGE = _png()


def tables(draw: Draw, home: Home) -> None:
    """A table beside images, with odd cells, paths that lead out, and damage."""
    root = _fresh(home)
    names = [_put(root / "imgs" / f"{place}.png") for place in range(8)]
    paths = [f"imgs/{name.name}" for name in names]
    strange = draw.choice([0, 0, 0.05, 0.3])
    odd = ["../secret.png", str(root.parent / "secret.png"), "imgs", "", "imgs/9.png", "C:\\a\\1.png", "\0", text(draw)]
    rows = [
        [
            draw.choice(odd) if draw.random() < strange else path,
            str(draw.choice(NUMBERS)) if draw.random() < strange else draw.choice(["cat", "dog"]),
            draw.choice(["train", "val", "test"]) if draw.random() > strange else draw.choice(["", "x", "Train"]),
        ]
        for path in paths * draw.choice([1, 1, 3])
    ]
    heads = [draw.choice(["path", "image", "id", text(draw)]), draw.choice(["label", "class", "y"]), "split"]
    kind, width = draw.choice(["csv", "tsv", "jsonl", "json", "txt"]), draw.choice([2, 2, 3])
    mark = {"csv": draw.choice(",;|"), "tsv": "\t", "txt": " "}.get(kind, "")
    if mark:
        lines = [mark.join(row[:width]) for row in ([heads, *rows] if draw.random() < 0.9 else rows)]
        told = "\n".join(lines)
    else:
        objects = [dict(zip(heads[:width], row, strict=False)) for row in rows]
        told = "\n".join(map(json.dumps, objects)) if kind == "jsonl" else json.dumps(objects)
    file = root / f"table.{kind}"
    content = told.encode(draw.choice(["utf-8", "utf-8", "utf-16", "latin-1"]), "replace")
    file.write_bytes(damaged(draw, content) if draw.random() < 0.5 else content)
    columns = {
        name: draw.choice([heads[0], "none", "1"])
        for name in ("path_column", "label_column", "split_column")
        if draw.random() < 0.2
    }
    _holds(draw.choice([file, root]), Reading(**columns))


def packed(draw: Draw, home: Home) -> None:
    """A zip, a tar or WebDataset's shards, with odd names in it, and damage."""
    root, splits = _fresh(home), draw.choice([[""], ["train/", "test/"], ["Train/", "val/"]])
    names = [f"{split}{label}/{place}.png" for label in ("cat", "dog") for place in range(8) for split in splits]
    odd = ["../evil.png", "/etc/evil.png", "a/../../b.png", "cat/../cat/9.png", text(draw), "cat/"]
    names += draw.sample(odd, draw.choice([0, 0, 1, 3]))
    kind = draw.choice(["zip", "tar", "tgz", "shards"])
    file = root / f"data.{'tar' if kind == 'shards' else kind}"
    if kind == "zip":
        with zipfile.ZipFile(file, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            for name in names:
                archive.writestr(name.encode("utf-8", "replace").decode().replace("\0", "") or "x", _IMAGE)
    else:
        with tarfile.open(file, "w:gz" if kind == "tgz" else "w") as archive:
            for place, name in enumerate(names):
                members = [(name, _IMAGE)]
                if kind == "shards":
                    strange = draw.choice([b"", b"x", b"-1", b"9" * 400, pickle.dumps(home.bomb())])
                    truth = strange if draw.random() < 0.02 else draw.choice([b"0", b"1"])
                    ending = "cls" if draw.random() < 0.98 else "pyd"
                    members = [(f"{place}.png", _IMAGE), (f"{place}.{ending}", truth)]
                for own, data in members:
                    info = tarfile.TarInfo(own.encode("utf-8", "replace").decode().replace("\0", "") or "x")
                    info.size, info.type = len(data), draw.choice([tarfile.REGTYPE] * 99 + [tarfile.SYMTYPE])
                    info.linkname = "../secret.png" if info.type == tarfile.SYMTYPE else ""
                    archive.addfile(info, io.BytesIO(data))
    if draw.random() < 0.4:
        file.write_bytes(damaged(draw, file.read_bytes()))
    _holds(file if draw.random() < 0.9 or kind == "shards" else root, Reading())


def arrays(draw: Draw, home: Home) -> None:
    """NumPy's archives, IDX, CIFAR's binary version, SVHN's and parquet's files, with odd arrays, and damage."""
    root = _fresh(home)
    plain, odd = [(30, 8, 8), (30, 8, 8, 3), (30, 3, 8, 8)], [(30, 64), (0, 8, 8), (30,), (30, 8, 8, 4), (30, 8, 8, 7)]
    shape = draw.choice(plain if draw.random() < 0.8 else odd)
    kind = "uint8" if draw.random() < 0.8 else draw.choice(["float32", "int64", "bool", "U3", "O", "complex64"])
    images = np.zeros(shape, np.uint8).astype(object if kind == "O" else kind)
    strange = draw.choice([0, 0, 0.05])
    labels: Any = np.array([draw.choice([0, 2, -1, 10**6]) if draw.random() < strange else n % 2 for n in range(30)])
    forms = [labels, labels, labels[:, None], labels.astype(float) / 2, np.eye(2, dtype=int)[labels % 2], labels[:5]]
    labels = draw.choice(forms)
    form = draw.choice(["npz", "npz", "idx", "cifar", "parquet", "parquet", "mat"])
    file = root / {"npz": "d.npz", "mat": "train_32x32.mat", "parquet": "train-0.parquet"}.get(form, "d")
    if form == "npz":
        named = {draw.choice(["train_images", "x_train", "images"]): images, "train_labels": labels, "y_train": labels}
        np.savez(file, **{**named, "labels": home.bomb() if draw.random() < 0.1 else labels})
    elif form == "idx":
        head = struct.pack(
            ">4B3i", 0, 0, draw.choice([8] * 9 + [13]), 3, draw.choice([30] * 9 + [0, -1, 2**31 - 1]), 8, 8
        )
        file = root / "train-images-idx3-ubyte"
        file.write_bytes(head + bytes(30 * 64))
        truth = bytes(draw.randrange(3) for _ in range(30))
        (root / "train-labels-idx1-ubyte").write_bytes(struct.pack(">4Bi", 0, 0, 8, 1, 30) + truth)
    elif form == "cifar":
        file = root / "data_batch_1.bin"
        file.write_bytes(
            b"".join(bytes([255 if draw.random() < strange else draw.randrange(2)]) + bytes(3072) for _ in range(30))
        )
        (root / "batches.meta.txt").write_text("cat\ndog\n")
    elif form == "mat":
        content = np.moveaxis(images, 0, -1) if images.ndim > 1 else images
        scipy.io.savemat(
            file, {"X": np.ascontiguousarray(content) if kind != "O" else 1, "y": np.ascontiguousarray(labels)}
        )
    else:
        gone: list[Any] = [None, {"bytes": None, "path": "../secret.png"}]
        whole = {"bytes": _IMAGE, "path": None}
        cells = [draw.choice(gone) if draw.random() < strange else whole for _ in range(30)]
        told: list[list[Any]] = [[n % 2 for n in range(30)], ["a", "b", None] * 10, [0.5] * 30, [[1, 2]] * 30]
        answers = draw.choice([told[0], *told])
        pa.parquet.write_table(
            pa.table({draw.choice(["image", "img"]): cells, draw.choice(["label", "y"]): answers}), file
        )
    if draw.random() < 0.4:
        file.write_bytes(damaged(draw, file.read_bytes()))
    _holds(root if form in {"idx", "cifar"} else file, Reading())


def trees(draw: Draw, home: Home) -> None:
    """Folders of odd names in odd places, with lists, links and what is no image among them."""
    root = _fresh(home)
    for label in ("cat", "dog", "eel") if draw.random() < 0.7 else ():
        for place in range(6):
            _put(root / label / f"{place}.png")
    for _ in range(draw.choice([0, 1, 6, 20])):
        parts = [draw.choice(_WORDS) if draw.random() < 0.95 else _name(draw) for _ in range(draw.choice([0, 1, 1, 2]))]
        for _ in range(draw.choice([1, 3, 8])):
            own = (
                f"{draw.randrange(30)}.png" if draw.random() < 0.9 else _name(draw) + draw.choice([".png", "", ".txt"])
            )
            _put(root.joinpath(*parts, own))
    for _ in range(draw.choice([0, 1, 2, 4])):
        file = root / draw.choice(["", "meta", "annotations", "train"]) / draw.choice(_FILES)
        listed = [f"{draw.choice(_WORDS)}/{draw.randrange(30)}" for _ in range(draw.choice([0, 3, 30]))]
        matlab = io.BytesIO()
        scipy.io.savemat(matlab, {draw.choice(["labels", "file_list", "annotations", "trnid"]): np.arange(4)})
        told: bytes = matlab.getvalue() if file.name.endswith(".mat") else "\n".join(listed).encode("utf-8", "replace")
        if not file.parent.is_file() and not file.is_dir():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(damaged(draw, told) if draw.random() < 0.3 else told)
    for link in ("loop", "cat/out.png", "train/gone.png"):
        own_link = root / link
        if draw.random() < 0.2 and own_link.parent.is_dir() and not os.path.lexists(own_link):
            own_link.symlink_to(draw.choice([root, root.parent / "secret.png", root / "nowhere"]))
    options: list[dict[str, Any]] = [{}, {}, {"class_depth": draw.choice([1, 2, 9, "leaf"])}]
    options += [{"label_from": draw.choice(["{label}.{#}.png", "{label}/{*}", "(?P<label>.)", "{label"])}]
    _holds(root, Reading(**draw.choice(options)), linked=True)


def _fresh(home: Home) -> Path:
    root = home.folder / "data" / "root"
    shutil.rmtree(root.parent, ignore_errors=True)
    root.mkdir(parents=True)
    (root.parent / "secret.png").write_bytes(_SECRET)
    return root


def _put(file: Path) -> Path:
    if not any(parent.is_file() for parent in file.parents) and not file.is_dir():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_IMAGE)
    return file


def _name(draw: Draw) -> str:
    """Return what a file system takes for a name."""
    found = text(draw).replace("/", "_").replace("\0", "").replace("\ud800", "")
    short = found.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "replace")
    return "x" if short in {"", ".", ".."} else short


def _holds(root: Path, reading: Reading, *, linked: bool = False) -> None:
    """See that what is read holds; `linked`: links of the folder's own may lead out of it."""
    found = read_data_set(root, reading=reading)
    for files in found.splits.values():
        seen: set[str] = set()
        assert all(0 <= label < len(found.classes) for label in files.labels)
        for place in range(len(files)):
            own = files.paths[place]
            assert own not in seen, f"{own} stands twice"
            seen.add(own)
            try:
                assert linked or _SECRET not in files.open(place), "what lies outside was given out"
            except OSError:  # it is named when it is decoded
                continue


DATA_SHARES: dict[Callable[[Draw, Home], None], int] = {tables: 12, packed: 12, arrays: 12, trees: 12}
