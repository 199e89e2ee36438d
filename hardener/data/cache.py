"""Decoded images on disk: what one run has decoded, the next one reads."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import inspect
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from numpy.typing import NDArray

from hardener.data import colors, decode, levels
from hardener.data.blocks import BLOCK, IN_MEMORY, Checksums, PixelBlocks
from hardener.data.image_files import ImageFiles
from hardener.data.names import digest_of

_SUFFIX = ".pixels"
_MAGIC = b"hrdnpix3"
_TAIL = 32 + 8 + len(_MAGIC)  # sha256 of checksums, bytes and facts, the length of the facts, the magic
_CHUNK = 4096
_SLOW_S = 1e-4  # for a file's size and times: what answers sooner is asked by one thread, as many would wait on Python

Write = Callable[[NDArray[np.uint8]], object]
Facts = dict[str, Any]


@dataclass(frozen=True)
class CachedPixels:
    """What the cache holds of a list of files.

    Attributes:
        pixels: flat, uint8; or, where they are many, what reads them from the file.
        facts: what was learned while they were decoded: what JSON can say, and bytes, which are kept as they are.
    """

    pixels: NDArray[np.uint8] | PixelBlocks
    facts: Facts


class PixelCache:
    """A folder with one file an entry: raw pixels, their checksums, facts (bytes, then JSON), and a tail that says that
    all but the pixels is whole.

    A file is written to the side and renamed when it is complete, so what stands under an entry's name was finished.
    Pixels that the disk has changed since are not given out: an entry that holds some is made anew.
    Entries used longest ago make room for new ones; those that this object gave out stay. Where nothing can be
    kept, `warn` is told why and the caller goes on without.

    Args:
        gigabytes: of 1e9 bytes, for the whole folder; a new entry also takes at most half of what the disk has free.
        warn: told once what the user must know.
        folder: `default_folder()` by default.
    """

    def __init__(self, gigabytes: float, warn: Callable[[str], None], *, folder: Path | None = None) -> None:
        self.budget = int(gigabytes * 1e9)
        self.folder = default_folder() if folder is None else folder
        self._warn = warn
        self._used: set[Path] = set()
        self._stamped: dict[int, tuple[ImageFiles, str]] = {}
        self._unusable = False

    def key(self, files: ImageFiles, *, fresh: bool = False, **rule: object) -> str | None:
        """Name an entry after all that its pixels depend on; no file is opened. None where a file is gone.

        These are the place, name and stamp (of a file: size and times) of every image, in this order, and how it is
        decoded: `rule`, the source of `decode_image` and of what it calls, and Pillow's version. A million files are
        asked for their stamps once, and not for each entry of theirs.

        Args:
            fresh: ask them again.
        """
        try:
            if fresh or id(files) not in self._stamped:
                self._stamped[id(files)] = (files, stamps_of(files))
            return _key_of(files, self._stamped[id(files)][1], rule)
        except OSError:
            return None

    def holds(self, key: str | None, files: ImageFiles, **rule: Any) -> bool:
        """Tell whether a key is still that of these files, asked again."""
        return key is not None and key == self.key(files, fresh=True, **rule)

    def get(self, key: str, size: int, make: Callable[[Write], tuple[Facts, bool]]) -> CachedPixels | None:
        """Return an entry, made now where there is none; None where it cannot be kept.

        Of several processes that ask for the same entry, one makes it and the others wait for it.

        Args:
            key: from `key`.
            size: of the pixels, at most, in bytes.
            make: gives the pixels, in order, to the function that it gets, and returns the facts and whether they
                will hold the next time: where not, the entry serves this call only.
        """
        path = self.folder / f"{key}{_SUFFIX}"
        found = self._find(path, key)
        if found is not None or self._unusable:
            return found
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(path.with_suffix(".lock")):
                found = self._find(path, key)
                if found is not None or not self._make_room(size):
                    return found
                return self._make(path, key, size, make)
        except OSError as error:
            self._unusable = True
            self._warn(
                f"decoded images cannot be kept in {self.folder} ({error.strerror or error}): every run decodes "
                "anew. Free some space, set HARDENER_CACHE to another folder, or pass --set data.cache=false."
            )
            return None

    def _find(self, path: Path, key: str) -> CachedPixels | None:
        try:
            with path.open("rb") as file:
                found = _read(file, key, lambda: self._give_up(path))
        except OSError:
            return None
        if found is not None:
            self._used.add(path)
            with contextlib.suppress(OSError):  # in a folder that may only be read, age does not matter
                os.utime(path)
        return found

    def _give_up(self, path: Path) -> None:
        """Let go of an entry whose pixels are not what was written."""
        with contextlib.suppress(OSError):
            path.unlink()
        self._warn(f"{path}, decoded images of an earlier run, is damaged: they are decoded again. Is the disk sound?")

    def _make(
        self, path: Path, key: str, size: int, make: Callable[[Write], tuple[Facts, bool]]
    ) -> CachedPixels | None:
        descriptor, beside = tempfile.mkstemp(prefix=".", suffix=_SUFFIX, dir=self.folder)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                _lock(file, wait=False)  # as long as this process lives, nobody tidies the file away
                if size:
                    os.posix_fallocate(descriptor, 0, size)  # a full disk is found out before the work
                checksums = Checksums()

                def write(pixels: NDArray[np.uint8]) -> None:
                    file.write(pixels.data)
                    checksums.add(pixels)

                facts, lasting = make(write)
                _finish(file, key, facts, checksums)
                if lasting:
                    os.replace(beside, path)
                    self._used.add(path)
                return _read(file, key, lambda: self._give_up(path))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)

    def _make_room(self, size: int) -> bool:
        """Remove what was used longest ago until `size` bytes fit; say so and remove nothing where they cannot."""
        _tidy(self.folder)
        entries = sorted(_entries(self.folder))
        old = [entry for entry in entries if entry[2] not in self._used]
        total, removable = (sum(held for _, held, _ in some) for some in (entries, old))
        free = shutil.disk_usage(self.folder).free
        if total - removable + size > self.budget:
            taken = f" beside {_gigabytes(total - removable)} in use" if total > removable else ""
            self._warn(
                f"{_gigabytes(size)} of decoded images{taken} exceed data.cache_gb={self.budget / 1e9:g}: every run "
                "decodes anew. Raise it with --set data.cache_gb=… where the disk has room."
            )
            return False
        if size > (free + removable) / 2:
            self._warn(
                f"{_gigabytes(size)} of decoded images would take more than half of the {_gigabytes(free)} free in "
                f"{self.folder}: every run decodes anew. Free some space, or set HARDENER_CACHE to another folder."
            )
            return False
        for _, held, path in old:
            if total + size <= self.budget and size <= free / 2:
                break
            path.unlink(missing_ok=True)
            total, free = total - held, free + held
        return True


def default_folder() -> Path:
    """Return `$HARDENER_CACHE`, else `hardener` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    if chosen := os.environ.get("HARDENER_CACHE"):
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(caches):  # a relative one is to be passed over, says the XDG Base Directory Specification
        return Path(caches) / "hardener"
    home = os.path.expanduser("~")
    return Path(home if os.path.isabs(home) else "/", ".cache", "hardener")


def total_memory() -> int:
    """Return the machine's memory in bytes."""
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))


def stamps_of(files: ImageFiles) -> str:
    """Return the sha256 over names and stamps of all images.

    Raises:
        OSError: a file is gone.
    """
    root, digest = files.root.resolve(), hashlib.sha256(digest_of(files.paths).encode())

    def told(start: int) -> bytes:
        return files.store.stamps(root, files.paths[start : start + _CHUNK])

    starts = iter(range(0, len(files), _CHUNK))
    for start in starts:
        began = time.perf_counter()
        digest.update(told(start))
        if time.perf_counter() - began > _SLOW_S * _CHUNK:  # a network drive: its answers are waited for together
            break
    with ThreadPoolExecutor(16) as pool:
        for found in pool.map(told, starts):
            digest.update(found)
    return digest.hexdigest()


def _key_of(files: ImageFiles, stamps: str, rule: Mapping[str, object]) -> str:
    source = "".join(map(inspect.getsource, (decode, levels, colors)))
    how = {
        "root": str(files.root.resolve()), "rule": rule, "pillow": PIL.__version__, "source": source, "files": stamps,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()


def _finish(file: BinaryIO, key: str, facts: Facts, checksums: Checksums) -> None:
    pixels = file.tell()
    file.truncate()
    raw = {name: value for name, value in facts.items() if isinstance(value, bytes)}
    plain = {name: value for name, value in facts.items() if name not in raw}
    sizes = {name: len(value) for name, value in raw.items()}
    text = json.dumps({**plain, "key": key, "bytes": pixels, "raw": sizes}).encode()
    check = hashlib.sha256()
    for part in (checksums.of_all().tobytes(), *raw.values(), text):
        check.update(part)
        file.write(part)
    file.write(check.digest() + len(text).to_bytes(8, "little") + _MAGIC)
    file.flush()
    os.fsync(file.fileno())  # before the rename, or a power cut could leave a whole name on torn pixels


def _read(file: BinaryIO, key: str, on_damage: Callable[[], None]) -> CachedPixels | None:
    """Return what a whole entry of this key holds, None for anything else."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _TAIL, 0))
    tail = file.read()
    length = int.from_bytes(tail[32:40], "little")
    if tail[40:] != _MAGIC or length > end - _TAIL:
        return None
    file.seek(end - _TAIL - length)
    text = file.read(length)
    try:
        facts: Facts = json.loads(text)
        size, own, raw = facts["bytes"], facts["key"], facts.pop("raw")
        parts = [4 * -(-size // BLOCK), *raw.values()]
        if own != key or min(size, *parts) < 0 or size + sum(parts) + length + _TAIL != end:
            return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    file.seek(size)
    check = hashlib.sha256()
    sums, *values = map(file.read, parts)
    for part in (sums, *values, text):
        check.update(part)
    if check.digest() != tail[:32]:
        return None
    facts.update(zip(raw, values, strict=True))
    blocks = PixelBlocks(file, size, np.frombuffer(sums, "<u4"), on_damage)
    if size > IN_MEMORY:
        if size <= total_memory() // 4:  # one read from front to back, before minibatches ask here and there
            os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_WILLNEED)
        return CachedPixels(blocks, facts)
    pixels = blocks.read_all()
    if pixels is None:
        on_damage()
        return None
    return CachedPixels(pixels, facts)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        _lock(file, wait=True)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Take a lock that ends with the process, at the latest; False where that cannot be had."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # taken; or a file system without locks, where two may do the same work
        return False
    return True


def _tidy(folder: Path) -> None:
    """Remove what processes that died left half written."""
    for path in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError), path.open("ab") as file:
            if _lock(file, wait=False):
                path.unlink()


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each entry was used last, its bytes and its file."""
    for path in folder.glob(f"[!.]*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            yield found.st_mtime, found.st_size, path
