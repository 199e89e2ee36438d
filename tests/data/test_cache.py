from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import write_image_folder
from PIL import Image

from hardener.data.blocks import BLOCK, Checksums
from hardener.data.cache import PixelCache, default_folder
from hardener.data.decode import decode_image
from hardener.data.image_files import ImageFiles
from hardener.data.loader import ImageShape, LoadedImages, load_images
from hardener.data.sources.image_folder import read_class_folders
from hardener.data.survey import survey
from hardener.errors import HardenerError

SHAPE = ImageShape(8, 8, 1)


class Said(list[str]):
    """Warnings, in order."""

    def __call__(self, text: str) -> None:
        self.append(text)


def no_warning(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    return read_class_folders(write_image_folder(tmp_path / "imgs", {"a": 5, "b": 4}))[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def open_cache(folder: Path, gigabytes: float = 1.0) -> PixelCache:
    return PixelCache(gigabytes, no_warning, folder=folder)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@contextmanager
def nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(path: Path) -> bytes:
        raise AssertionError(f"{path} was opened")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        yield


def same(images: LoadedImages, others: LoadedImages) -> bool:
    facts = [(i.files, i.skipped, i.fingerprint, i.mean, i.std) for i in (images, others)]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    pieces = zip(images.batches(order, 4), others.batches(order, 4), strict=True)
    return facts[0] == facts[1] and all(
        torch.equal(left, right) and left.stride() == right.stride()
        for piece, other in pieces
        for left, right in zip(piece, other, strict=True)
    )


@pytest.mark.parametrize("shape", [SHAPE, ImageShape(6, 10, 3)])
@pytest.mark.parametrize("small", [0, 1 << 20])
@pytest.mark.parametrize("in_blocks", [False, True])
def test_every_source_gives_the_same_minibatches(
    files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch, shape: ImageShape, small: int, in_blocks: bool
) -> None:
    monkeypatch.setattr("hardener.data.loader._SMALL", small)
    if in_blocks:
        read_in_blocks(monkeypatch)
    (files.root / "a" / "001.png").write_bytes(b"no image")
    in_memory, streamed = (load_images(files, shape, skip_bad=True, memory_budget=budget) for budget in (None, 0))
    cold, warm = (load_images(files, shape, skip_bad=True, cache=open_cache(folder)) for _ in range(2))
    assert len(in_memory) == 8
    assert all(same(in_memory, other) for other in (streamed, cold, warm))


def test_a_warm_start_opens_no_image(files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_cache(folder)
    seen, images = survey(files, cache=cache), load_images(files, SHAPE, cache=cache)
    done: list[int] = []
    with nothing_is_opened(monkeypatch):
        cache = open_cache(folder)
        assert survey(files, cache=cache) == seen
        assert same(load_images(files, SHAPE, cache=cache, on_decoded=done.append), images)
    assert sum(done) == len(files)
    assert seen == survey(files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in [folder, *entries(folder)])


def replaced(path: Path) -> None:
    """Put another image of the same size and date in the place of this one."""
    old, data = path.stat(), bytearray(path.read_bytes())
    data[-13] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (old.st_size, old.st_mtime_ns)


def brighter(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 250, np.uint8)).save(path)


@pytest.mark.parametrize(
    "change", [replaced, brighter, lambda path: path.rename(path.with_name("zzz.png")), Path.unlink]
)
def test_a_changed_file_is_noticed(files: ImageFiles, folder: Path, change: Any) -> None:
    load_images(files, SHAPE, cache=open_cache(folder))
    change(files.root / "a" / "002.png")
    _, now = read_class_folders(files.root)
    assert same(load_images(now, SHAPE, cache=open_cache(folder)), load_images(now, SHAPE))
    assert len(entries(folder)) == 2


def test_each_shape_part_of_a_set_and_place_has_an_entry_of_its_own(files: ImageFiles, folder: Path) -> None:
    shapes = [ImageShape(8, 8, 1), ImageShape(8, 8, 3), ImageShape(8, 9, 1), ImageShape(9, 8, 1)]
    for shape in shapes:
        images = load_images(files, shape, cache=open_cache(folder))
        assert images.take([0])[0].shape == (1, shape.channels, shape.height, shape.width)
    load_images(files.pick([3, 1]), SHAPE, cache=open_cache(folder))
    load_images(files.pick([1, 3]), SHAPE, cache=open_cache(folder))
    moved = shutil.copytree(files.root, files.root.with_name("moved"))
    load_images(ImageFiles(moved, files.paths, files.labels), SHAPE, cache=open_cache(folder))
    assert len(entries(folder)) == len(shapes) + 3


def test_labels_are_those_of_the_folders_as_they_are_now(files: ImageFiles, folder: Path) -> None:
    load_images(files, SHAPE, cache=open_cache(folder))
    renumbered = ImageFiles(files.root, files.paths, tuple(label + 1 for label in files.labels))
    images = load_images(renumbered, SHAPE, cache=open_cache(folder))
    assert tuple(images.labels.tolist()) == renumbered.labels
    assert len(entries(folder)) == 1


def read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As entries of many gigabytes are."""
    monkeypatch.setattr("hardener.data.cache.IN_MEMORY", 0)
    for module in ("cache", "blocks"):
        monkeypatch.setattr(f"hardener.data.{module}.BLOCK", 100)


@pytest.mark.parametrize("spoil", ["zeroed", "flipped", "cut"])
@pytest.mark.parametrize("when", ["before", "meanwhile", "whole"])
def test_damaged_pixels_are_noticed_and_decoded_again(
    files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: str, when: str
) -> None:
    if when != "whole":
        read_in_blocks(monkeypatch)
    images, said = load_images(files, SHAPE), Said()
    load_images(files, SHAPE, cache=open_cache(folder))
    (entry,) = entries(folder)
    warm = load_images(files, SHAPE, cache=PixelCache(1.0, said, folder=folder)) if when == "meanwhile" else None
    with entry.open("r+b") as file:
        data = file.read()
        file.seek(130)
        file.write(bytes(200) if spoil == "zeroed" else bytes([data[130] ^ 1]))
        if spoil == "cut":
            file.truncate(150)
    if warm is None:
        warm = load_images(files, SHAPE, cache=PixelCache(1.0, said, folder=folder))
    assert same(warm, images)
    if spoil == "cut" and when != "meanwhile":
        assert said == [], "its tail is gone, and it was not taken for an entry"
    else:
        assert said == [
            f"{entry}, decoded images of an earlier run, is damaged: they are decoded again. Is the disk sound?"
        ]
    assert same(load_images(files, SHAPE, cache=open_cache(folder)), images)
    assert same(load_images(files, SHAPE, cache=open_cache(folder)), images)
    assert len(entries(folder)) == 1


def test_checksums_are_those_of_zlib_however_the_bytes_come() -> None:
    data = np.random.default_rng(0).integers(0, 256, 3 * BLOCK + 5, np.uint8)
    wanted = [zlib.crc32(data[start : start + BLOCK].tobytes()) for start in range(0, len(data), BLOCK)]
    for piece in (1000, BLOCK, BLOCK + 1, len(data)):
        checksums = Checksums()
        for start in range(0, len(data), piece):
            checksums.add(data[start : start + piece])
        assert checksums.of_all().tolist() == wanted
    assert Checksums().of_all().tolist() == []


def torn(data: bytes) -> dict[str, bytes]:
    flipped = bytearray(data)
    flipped[data.index(b'"mean"') + 9] ^= 1
    return {
        "empty": b"",
        "pixels alone": data[: 9 * 64],
        "cut in the tail": data[:-1],
        "cut in front": data[1:],
        "longer": data + data,
        "a fact changed": bytes(flipped),
        "another file": b"\0" * len(data),
    }


@pytest.mark.parametrize("what", torn(b'"mean": [0.5]' + b" " * 999))
def test_a_torn_entry_is_built_again(files: ImageFiles, folder: Path, what: str) -> None:
    images = load_images(files, SHAPE, cache=open_cache(folder))
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    entry.unlink()  # `images` holds on to it
    entry.write_bytes(torn(whole)[what])
    assert same(load_images(files, SHAPE, cache=open_cache(folder)), images)
    assert entry.read_bytes() == whole


def test_the_entry_of_other_files_under_this_name_is_not_taken(files: ImageFiles, folder: Path) -> None:
    load_images(files.pick([8, 7, 6, 5, 4, 3, 2, 1, 0]), SHAPE, cache=open_cache(folder))
    (other,) = entries(folder)
    load_images(files, SHAPE, cache=open_cache(folder))
    (own,) = set(entries(folder)) - {other}
    shutil.copyfile(other, own)
    assert same(load_images(files, SHAPE, cache=open_cache(folder)), load_images(files, SHAPE))


def test_of_two_that_build_at_once_one_decodes_and_one_waits(
    files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_miss, decoded = threading.Barrier(2), []
    find = PixelCache._find

    def find_together(self: PixelCache, path: Path, key: str) -> Any:
        found = find(self, path, key)
        if threading.current_thread() not in met:
            met.add(threading.current_thread())
            both_miss.wait(30)
        return found

    def count(data: bytes, **rule: Any) -> Any:
        decoded.append(1)
        return decode_image(data, **rule)

    met: set[threading.Thread] = set()
    monkeypatch.setattr(PixelCache, "_find", find_together)
    monkeypatch.setattr("hardener.data.loader.decode_image", count)
    found: list[LoadedImages] = []

    def load() -> None:
        found.append(load_images(files, SHAPE, cache=open_cache(folder)))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == len(files)
    assert same(*found)
    assert len(entries(folder)) == 1


def test_what_a_dead_builder_left_is_removed_and_what_a_living_one_writes_is_not(
    files: ImageFiles, folder: Path
) -> None:
    folder.mkdir()
    dead, living = folder / ".dead.pixels", folder / ".living.pixels"
    dead.write_bytes(b"half")
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        load_images(files, SHAPE, cache=open_cache(folder))
    assert not dead.exists()
    assert living.exists()


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let the kernel refuse to write larger files, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_full_disk_is_a_warning_and_leaves_nothing_behind(
    files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:  # somebody else fills the disk while images are decoded
        monkeypatch.setattr(os, "posix_fallocate", lambda *where: None)
    said = Said()
    cache = PixelCache(1.0, said, folder=folder)
    with no_file_above(100):
        first, second = load_images(files, SHAPE, cache=cache), load_images(files, SHAPE, cache=cache)
    assert same(first, load_images(files, SHAPE))
    assert same(second, first)
    assert len(said) == 1
    assert f"cannot be kept in {folder} ({os.strerror(errno.EFBIG)}): every run decodes anew. Free some" in said[0]
    assert entries(folder) == []


def test_a_folder_that_cannot_be_made_is_a_warning(files: ImageFiles, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = Said()
    cache = PixelCache(1.0, said, folder=tmp_path / "file" / "cache")
    survey(files, cache=cache)
    assert same(load_images(files, SHAPE, cache=cache), load_images(files, SHAPE))
    assert len(said) == 1
    assert "(Not a directory)" in said[0]
    assert "set HARDENER_CACHE to another folder, or pass --set data.cache=false" in said[0]


def test_a_set_above_the_budget_is_not_kept(files: ImageFiles, folder: Path) -> None:
    said = Said()
    images = load_images(files, SHAPE, cache=PixelCache(9 * 64 / 1e9 - 1e-9, said, folder=folder))
    assert same(images, load_images(files, SHAPE))
    assert "exceed data.cache_gb=5.75e-07: every run decodes anew. Raise it" in said[0]
    assert entries(folder) == []


def test_half_of_the_free_disk_stays_free(files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder.parent)
    said = Said()
    for free, kept in ((2 * 9 * 64 - 1, 0), (2 * 9 * 64, 1)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage._replace(free=free))
        load_images(files, SHAPE, cache=PixelCache(1.0, said, folder=folder))
        assert len(entries(folder)) == kept
    assert len(said) == 1
    assert "would take more than half of the 1.15e-06 GB free in" in said[0]


def test_what_was_used_longest_ago_makes_room(files: ImageFiles, folder: Path) -> None:
    parts = [files.pick([place]) for place in range(4)]
    for age, part in enumerate(parts[:3]):
        load_images(part, SHAPE, cache=open_cache(folder))
        (new,) = [path for path in entries(folder) if path.stat().st_mtime > 1e9]
        os.utime(new, (1000 + age, 1000 + age))
    load_images(parts[0], SHAPE, cache=open_cache(folder))  # now the youngest
    held = {path.stat().st_mtime: path for path in entries(folder)}
    budget = sum(path.stat().st_size for path in held.values())
    load_images(parts[3], SHAPE, cache=open_cache(folder, budget / 1e9))
    assert not held[1001].exists()
    assert held[1002].exists()
    assert held[max(held)].exists()


def test_what_is_in_use_does_not_make_room(files: ImageFiles, folder: Path) -> None:
    said = Said()
    cache = PixelCache(700 / 1e9, said, folder=folder)
    first = load_images(files.pick([0]), SHAPE, cache=cache)
    held = entries(folder)
    load_images(files, SHAPE, cache=cache)
    assert entries(folder) == held
    assert "5.76e-07 GB of decoded images beside " in said[0]
    assert " GB in use exceed data.cache_gb=7e-07: " in said[0]
    assert same(first, load_images(files.pick([0]), SHAPE))


def test_an_entry_that_makes_room_stays_readable_for_those_that_use_it(files: ImageFiles, folder: Path) -> None:
    images = load_images(files, SHAPE, cache=open_cache(folder))
    shutil.rmtree(folder)
    assert same(images, load_images(files, SHAPE))


def test_images_that_were_skipped_once_are_refused_where_none_may_be(files: ImageFiles, folder: Path) -> None:
    (files.root / "b" / "003.png").write_bytes(b"")
    load_images(files, SHAPE, skip_bad=True, cache=open_cache(folder))
    with pytest.raises(HardenerError, match=r"1 of 9 images cannot be read: .*003.png: the file is empty"):
        load_images(files, SHAPE, cache=open_cache(folder))


def test_an_error_leaves_nothing_behind(files: ImageFiles, folder: Path) -> None:
    (files.root / "b" / "003.png").write_bytes(b"")
    with pytest.raises(HardenerError, match="1 of 9 images"):
        load_images(files, SHAPE, cache=open_cache(folder))
    assert entries(folder) == []


def test_a_drive_that_fails_is_asked_again_the_next_time(
    files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "003.png":
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        cache = open_cache(folder)
        survey(files, cache=cache)
        images = load_images(files, SHAPE, skip_bad=True, cache=cache)
    assert len(images) == 7
    assert images.skipped[0].reason == "Input/output error"
    assert images.take([0])[0].shape == (1, 1, 8, 8)
    assert entries(folder) == []
    assert same(load_images(files, SHAPE, cache=open_cache(folder)), load_images(files, SHAPE))


def test_files_that_change_while_they_are_read_are_not_kept(
    files: ImageFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meddle(data: bytes, **rule: Any) -> Any:
        os.utime(files.root / files.paths[0], (1000, 1000))
        return decode_image(data, **rule)

    monkeypatch.setattr("hardener.data.loader.decode_image", meddle)
    assert len(load_images(files, SHAPE, cache=open_cache(folder))) == 9
    assert entries(folder) == []


def test_a_file_that_is_gone_is_reported_as_without_a_cache(files: ImageFiles, folder: Path) -> None:
    (files.root / files.paths[0]).unlink()
    with pytest.raises(HardenerError, match=r"1 of 9 images cannot be read: .*No such file"):
        load_images(files, SHAPE, cache=open_cache(folder))


def test_names_that_are_no_unicode_are_names_too(files: ImageFiles, folder: Path) -> None:
    odd = os.fsdecode(b"\xff.png")
    (files.root / "a" / "000.png").rename(files.root / "a" / odd)
    _, now = read_class_folders(files.root)
    assert same(load_images(now, SHAPE, cache=open_cache(folder)), load_images(now, SHAPE))


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARDENER_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.setenv("HARDENER_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_folder() == Path("/caches/hardener")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_folder() == Path("/home/ada/.cache/hardener")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # a user without a home
    assert default_folder() == Path("/.cache/hardener")
