"""Long lists of files: kept for the next start, used as long as they hold, and otherwise made anew."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from oracles import write_image_folder
from pyarrow import parquet

from hardener.config.reading import AS_FOUND, Reading
from hardener.data import brought, image_files, index, place, tree
from hardener.data.coded import Coded
from hardener.data.data_set import DataSet, read_data_set
from hardener.data.image_files import ImageFiles
from hardener.data.layouts import sheets
from hardener.data.names import Names, Stretch, digest_of
from hardener.data.prints import Prints, first_places
from hardener.data.sources import _arrow, archive, manifest, webdataset
from hardener.data.split import draw_from_each_class
from hardener.data.tables.rows import bring
from hardener.errors import HardenerError

ODD = ["a.png", "", "über/Ωmega.jpg", "with\nline feed", "caf\udce9.png", "z" * 300]


@pytest.mark.parametrize("chunk", [2, 100])
@pytest.mark.parametrize("kept", [False, True])
def test_names_are_what_was_put_in(chunk: int, kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hardener.data.names._CHUNK", chunk)

    def names_of(some: Sequence[str]) -> Names:
        names = Names.of(some)
        return in_file(names, tmp_path / "text") if kept else names

    for some in (ODD, ODD[:3], []):
        names = names_of(some)
        assert list(names) == some
        assert [names[at] for at in range(len(some))] == some
        assert names == some
        assert names == Names.of(names)
        assert digest_of(names) == digest_of(tuple(some))
        assert list(names.whole()) == some
    names = names_of(ODD)
    order = np.array([4, 0, 0, 3])
    assert list(names.pick(order)) == [ODD[at] for at in order]
    assert list(names.pick(order).whole()) == [ODD[at] for at in order]
    assert names.pick(order)[3] == ODD[3]
    assert list(names.pick(order).pick(np.array([3, 0]))) == [ODD[3], ODD[4]]
    for part in (slice(1, 4), slice(0, 2), slice(3, None), slice(None, None, 2), slice(4, 2)):
        assert list(names[part]) == ODD[part]
        assert digest_of(names[part]) == digest_of(tuple(ODD[part]))
    for few in ([0, 2, 3], [5], [0, 1, 2, 3, 4, 5]):
        assert list(names.pick(np.array(few))) == [ODD[at] for at in few]
    assert names[-1] == ODD[-1]
    assert names != ODD[::-1]
    assert names.pick(np.zeros(0, np.int64)) == []
    with pytest.raises(IndexError):
        _ = names[len(ODD)]


def in_file(names: Names, file: Path) -> Names:
    """Have names read from a file, behind something else, which is gone from its folder meanwhile."""
    file.write_bytes(b"before" + names.text[:] + b"behind")
    with file.open("rb") as opened:
        text = Stretch(opened, 3, 100_000).part(3, len(names.text))
    file.unlink()
    return Names(text, names.ends)


def test_a_column_of_few_words_is_what_was_put_in() -> None:
    words = ["dog", "cat", "dog", "ant"]
    column = Coded.of(words, 4)
    assert (column.values, str(column.codes.dtype), list(column), column[-1]) == (
        ("ant", "cat", "dog"),
        "uint8",
        words,
        "ant",
    )
    assert (column == words, column == words[:3], column == ["dog"] * 4) == (True, False, False)
    assert list(column[1:3]) == ["cat", "dog"]
    assert list(Coded.of([], 0)) == []


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that counts as large, made some time ago."""
    for module in (brought, index):
        monkeypatch.setattr(module, "MANY", 10)
    monkeypatch.setenv("HARDENER_CACHE", str(tmp_path / "cache"))
    root = write_image_folder(tmp_path / "imgs", {"cat": 20, "dog": 20})
    (root / "cat" / "notes.txt").write_text("a text")
    settle(root)
    return root


def settle(root: Path) -> None:
    """Let folders look as if nothing had changed for a while; their inodes change now, which a clock must forgive."""
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        os.utime(folder, (time.time() - 60, time.time() - 60))


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each time that a folder is listed."""
    found: list[str] = []

    def walked(root: Path, ignore: Sequence[str]) -> tree.Tree:
        found.append(str(root))
        return tree.walk(root, ignore)

    monkeypatch.setattr(place, "walk", walked)
    monkeypatch.setattr(index, "_SETTLED_S", -60.0)
    return found


def plainly(files: ImageFiles) -> tuple[list[str], list[int]]:
    return list(files.paths), list(files.labels)


def same(one: DataSet, other: DataSet) -> bool:
    splits = zip(one.splits.values(), other.splits.values(), strict=True)
    facts = [(found.classes, found.sources, found.brought.left_out, found.drawn) for found in (one, other)]
    return all(plainly(ours) == plainly(theirs) for ours, theirs in splits) and facts[0] == facts[1]


def test_a_second_start_lists_nothing_and_finds_the_same(large: Path, listings: list[str]) -> None:
    first, second = read_data_set(large), read_data_set(large)
    assert len(listings) == 1
    for found in (first, second):
        assert isinstance(found.train.paths, Names)
        assert isinstance(found.train.paths.text, Stretch), "the names stay where they are kept"
    assert same(first, second)
    held = draw_from_each_class(
        [f"{c}/{i:03}.png" for c in ("cat", "dog") for i in range(20)], [0] * 20 + [1] * 20, 0.1, "0/test"
    )
    assert second.test is not None
    assert len(second.test) == len(held)
    assert second.train.open(0) == (large / second.train.paths[0]).read_bytes()


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_shards_are_listed_once_and_again_when_one_changes_or_comes(
    kind: str, large: Path, listings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = large.parent / "shards"
    root.mkdir()
    write = write_tar if kind == "tar" else write_parquet
    write(root / f"train-0.{kind}", 20)
    asked: list[Reading] = []

    def counted(sheets: Any, place: Any, reading: Reading) -> Any:
        asked.append(reading)
        return bring(sheets, place, reading)

    monkeypatch.setattr(webdataset if kind == "tar" else _arrow, "bring", counted)
    first, second = read_data_set(root), read_data_set(root)
    assert (len(asked), same(first, second)) == (1, True)
    label = first.train.labels[0]
    assert second.train.open(0) == first.train.open(0) == f"image of {label}".encode()
    write(root / f"train-1.{kind}", 20)
    assert found_in(read_data_set(root)) == 40
    write(root / f"train-1.{kind}", 16)
    assert found_in(read_data_set(root)) == 36
    assert len(asked) == 3


def found_in(folder: DataSet) -> int:
    return sum(map(len, folder.splits.values()))


def write_tar(file: Path, images: int) -> None:
    with tarfile.open(file, "w") as archive:
        for place in range(images):
            for name, data in ((f"{place}.png", f"image of {place % 2}"), (f"{place}.cls", f"{place % 2}")):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data.encode()))


def write_parquet(file: Path, images: int) -> None:
    cells = [{"bytes": f"image of {place % 2}".encode(), "path": None} for place in range(images)]
    parquet.write_table(pyarrow.table({"image": cells, "label": [place % 2 for place in range(images)]}), file)


def test_what_comes_goes_is_renamed_or_ignored_is_seen(large: Path, listings: list[str]) -> None:
    read_data_set(large)
    for change in (
        lambda: (large / "cat" / "new.png").write_bytes((large / "cat" / "000.png").read_bytes()),
        lambda: (large / "dog" / "001.png").unlink(),
        lambda: (large / "dog" / "002.png").rename(large / "dog" / "renamed.png"),
        lambda: (large / "cat" / "notes.txt").write_text("another text, which might be a table"),
    ):
        change()
        before = len(listings)
        found = read_data_set(large)
        assert len(listings) == before + 1
        names = {f"{path}" for files in found.splits.values() for path in files.paths}
        assert names == {str(path.relative_to(large)) for path in large.rglob("*.png")}
    before = len(listings)
    read_data_set(large, reading=Reading(ignore=("renamed.png",)))
    assert len(listings) == before + 1


def test_a_damaged_index_is_made_anew_and_links_or_changes_of_just_now_are_not_trusted(
    large: Path, listings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_data_set(large)
    kept = sorted((large.parent / "cache" / "index").glob("*.index"))
    assert len(kept) == 3  # the folder and two draws
    sound = {file: file.read_bytes() for file in kept}
    for share in np.linspace(0, 0.999, 24):
        for file, data in sound.items():
            at = int(share * len(data))
            file.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        assert same(read_data_set(large), whole)
    assert len(listings) == 25, "every byte matters"
    for file in kept:
        file.write_bytes(file.read_bytes()[:100])
    listings.clear()
    assert same(read_data_set(large), whole)
    assert len(listings) == 1
    (large / "cat" / "link.png").symlink_to(large / "cat" / "000.png")
    settle(large)
    for _ in range(2):
        read_data_set(large)
    assert len(listings) == 3
    (large / "cat" / "link.png").unlink()
    monkeypatch.setattr(index, "_SETTLED_S", 2.0)
    for _ in range(2):
        read_data_set(large)
    assert len(listings) == 5


def test_a_list_that_is_cut_while_it_is_in_use_is_told_and_found_anew(large: Path, listings: list[str]) -> None:
    read_data_set(large)
    files = read_data_set(large).train
    for file in (large.parent / "cache" / "index").glob("*.index"):
        os.truncate(file, 50)
    with pytest.raises(HardenerError, match="cut short while it was in use. Run the same command again"):
        list(files.paths)
    assert len(list(read_data_set(large).train.paths)) == len(files)
    assert len(listings) == 2


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "csv", "a folder with a table"])
def test_a_second_start_opens_no_archive_and_no_table(
    kind: str, large: Path, listings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    for room, name in ((archive, "_members_of"), (manifest, "read_table"), (sheets, "read_table")):
        monkeypatch.setattr(room, name, counted(getattr(room, name), read))
    if kind in {"zip", "tar.gz"}:
        root = Path(shutil.make_archive(str(large), {"zip": "zip", "tar.gz": "gztar"}[kind], large))
    else:
        names = [f"{kind}/{place:03}.png" for kind in ("cat", "dog") for place in range(20)]
        inner = large / "images"
        inner.mkdir()
        for name in names:
            (large / name).rename(inner / name.replace("/", "-"))
        rows = [f"images/{name.replace('/', '-')},{name[:3]}" for name in names]
        (large / "labels.csv").write_text("\n".join(["path,label", *rows]))
        root = large / "labels.csv" if kind == "csv" else large
    settle(large)
    first = read_data_set(root)
    assert read
    read.clear()
    second = read_data_set(root)
    assert not read
    assert same(first, second)
    assert second.brought == first.brought
    assert (root.is_dir() or kind == "csv") or second.brought.kind == "archive"
    assert second.train.open(3) == first.train.open(3)
    assert second.train.store.stamps(second.train.root, second.train.paths) == first.train.store.stamps(
        first.train.root, first.train.paths
    )
    if root.is_dir():
        root = root / "labels.csv"
    read.clear()
    os.utime(root, (time.time() - 30, time.time() - 30))
    read_data_set(large if kind.startswith("a") else root)
    assert read, "it has changed"


def counted(function: Callable[..., object], calls: list[str]) -> Callable[..., object]:
    def call(*given: object) -> object:
        calls.append(function.__name__)
        return function(*given)

    return call


def test_files_that_are_picked_from_many_are_those_of_few(large: Path) -> None:
    group = read_data_set(large).brought.splits[None]
    many = group.labelled(("cat", "dog"))
    few = ImageFiles(many.root, tuple(many.paths), tuple(many.labels))
    assert isinstance(many.paths, Names)
    assert plainly(many.pick([30, 2, 2])) == plainly(few.pick([30, 2, 2]))
    assert image_files.Files().stamps(large, many.paths[3:5]) == many.store.stamps(large, few.paths[3:5])
    assert read_data_set(large, reading=AS_FOUND).listings() == read_data_set(large).listings()


def test_the_first_of_equal_images_is_found_without_a_loop() -> None:
    rows = np.random.default_rng(0).integers(1, 256, (9, 16), dtype=np.uint8)
    rows[4] = rows[1]
    rows[7] = rows[1]
    rows[6] = 0
    rows[8, :8] = rows[0, :8]  # half a digest is none
    assert first_places(Prints(rows)).tolist() == [0, 1, 2, 3, 1, 5, -1, 1, 8]
    assert first_places(Prints(rows[:0])).tolist() == []
