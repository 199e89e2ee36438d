"""A zip or tar of class folders, read in place: nothing is unpacked beside it."""

from __future__ import annotations

import importlib
import os
import posixpath
import re
import shutil
import tarfile
import tempfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group
from hardener.data.image_files import stamp_of
from hardener.data.index import Seen, indexed
from hardener.data.place import LARGEST
from hardener.data.sources._inside import read_inside
from hardener.data.tree import Tree, grown
from hardener.errors import HardenerError

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class Members(Protocol):
    """The files in an archive."""

    def names(self) -> Iterator[str]:
        """Yield each file's name."""
        ...

    def lost_links(self) -> Sequence[str]:
        """Return the names of links that lead to no file in the archive."""
        ...

    def read(self, name: str, most: int = LARGEST) -> bytes:
        """Return the first bytes of a file, or all.

        Raises:
            OSError: it cannot be read.
        """
        ...


class Archive:
    """A zip, or a tar as it is or packed by gzip, bzip2 or xz."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is an archive, by its name."""
        return root.is_file() and root.name.lower().endswith((".zip", *_TAR))

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images as those of a folder.

        Raises:
            HardenerError: a damaged or encrypted archive; else see `read_inside`.
        """

        def look() -> tuple[Brought, Seen]:
            return read_inside(Packed(root), reading), Seen(root.parent, files=[root.name])

        members = Later(root)
        return indexed(root, "", reading, look, store=lambda base: _Inside(root, base, members))


class Packed:
    """The files in an archive, as a place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._members = _members_of(root)
        self._led_out: list[str] = []
        self._names: list[str] = []
        folders: dict[str, set[str]] = {}
        for name in self._members.names():
            if _leads_out(name):
                self._led_out.append(name)
                continue
            self._names.append(name)
            folder, _, own = name.rpartition("/")
            folders.setdefault(folder, set()).add(own)
        self._folders = {folder: frozenset(found) for folder, found in folders.items()}
        if self._led_out and not self._names:
            raise HardenerError(
                f"{root} has no file that stays inside it: its {len(self._led_out)} names lead out, such as "
                f"{self._led_out[0]}. Unpack it with a program that takes off what leads out, as unzip and tar do, and "
                "pass the folder."
            )

    @property
    def root(self) -> Path:
        """The archive."""
        return self._root

    def files_in(self, folder: str) -> frozenset[str]:
        """See `Place`."""
        return self._folders.get(folder, frozenset())

    def read(self, name: str, most: int = LARGEST) -> bytes:
        """See `Place`."""
        return self._members.read(name, most)

    def all_names(self) -> tuple[str, ...]:
        """Return the names of all files."""
        return tuple(self._names)

    def tree(self, ignore: Sequence[str]) -> Tree:
        """See `Place`."""
        tree = Tree()
        for name in self._led_out:
            tree.leave("names that lead out of the archive", name)
        for name in self._members.lost_links():
            tree.leave("links that lead to no file in the archive", name)
        grown(tree, self._names, ignore, lambda name: self._members.read(name, 512))
        return tree

    def group(self, base: str, paths: Sequence[str], names: Sequence[str], *, source: str = "") -> Group:
        """See `Place`."""
        store = _Inside(self._root, base, self._members)
        return Group(self._root / base, tuple(paths), tuple(names), store, source=source)


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/") or "\\" in name or re.match(r"[A-Za-z]:", name) is not None


def _members_of(root: Path) -> Members:
    return _Tar(root) if root.name.lower().endswith(_TAR) else _Zip(root)


class Later:
    """The files in an archive that is opened once one of them is asked for."""

    def __init__(self, root: Path) -> None:
        self._root, self._lock = root, threading.Lock()
        self._opened: Members | None = None

    def names(self) -> Iterator[str]:
        return self._members().names()

    def lost_links(self) -> Sequence[str]:
        return self._members().lost_links()

    def read(self, name: str, most: int = LARGEST) -> bytes:
        return self._members().read(name, most)

    def _members(self) -> Members:
        with self._lock:
            if self._opened is None:
                self._opened = _members_of(self._root)
            return self._opened


class _Inside:
    """Bytes of images in an archive, below one of its folders."""

    def __init__(self, archive: Path, base: str, members: Members) -> None:
        self._archive, self._base, self._members = archive, base, members

    def read(self, root: Path, path: str) -> bytes:
        return self._members.read(f"{self._base}/{path}" if self._base else path)

    def stamps(self, root: Path, paths: Iterable[str]) -> bytes:
        return stamp_of(self._archive)


class _Zip:
    def __init__(self, root: Path) -> None:
        try:
            self._file = zipfile.ZipFile(root)
        except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
            raise HardenerError(f"{root} is no zip that can be read: {error}.{really(root, '.zip')}") from None
        self._infos = {_slashed(info.filename): info for info in self._file.infolist() if not _is_folder(info)}
        locked = [name for name, info in self._infos.items() if info.flag_bits & 1]
        if locked:
            raise HardenerError(
                f"{root} is encrypted ({len(locked)} files, such as {locked[0]}). Unpack it with its password, "
                "and pass the folder."
            )

    def names(self) -> Iterator[str]:
        yield from self._infos

    def lost_links(self) -> Sequence[str]:
        return ()

    def read(self, name: str, most: int = LARGEST) -> bytes:
        info = self._infos[name]
        if most == LARGEST and info.file_size > most:
            raise OSError(f"{info.file_size:,} bytes are no image")
        try:
            with self._file.open(info) as member:
                return member.read(min(most, info.file_size))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
            raise OSError(f"it is damaged in the archive: {error}") from None


def _slashed(name: str) -> str:
    """Return a name with `/` between its folders; some programs of Windows wrote the other one."""
    return name if "/" in name else name.replace("\\", "/")


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.is_dir() or info.filename.endswith("\\")


class _Tar:
    """Where each file lies in a tar; one that is packed is unpacked to a file without a name first."""

    def __init__(self, root: Path) -> None:
        try:
            with _plain_tar(root) as file, tarfile.open(fileobj=file, mode="r:") as found:
                self._descriptor = os.dup(file.fileno())
                weakref.finalize(self, os.close, self._descriptor)
                self._places, links = _listed(found)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise HardenerError(f"{root} is no tar that can be read: {error}.{really(root, '.tar')}") from None

        for name, target in links.items():
            if (place := self._places.get(target)) is not None:
                self._places[name] = place
        self._lost = [name for name in links if name not in self._places]

    def names(self) -> Iterator[str]:
        yield from self._places

    def lost_links(self) -> Sequence[str]:
        return self._lost

    def read(self, name: str, most: int = LARGEST) -> bytes:
        start, size = self._places[name]
        if most == LARGEST and size > most:
            raise OSError(f"{size:,} bytes are no image")
        return os.pread(self._descriptor, min(most, size), start)


def _listed(archive: tarfile.TarFile) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Return where each file of a tar lies, and what each link leads to: a hard link is written for a second name."""
    places: dict[str, tuple[int, int]] = {}
    links: dict[str, str] = {}
    for member in archive:
        name = member.name.removeprefix("./")
        if member.isreg():
            places[name] = (member.offset_data, member.size)
            links.pop(name, None)
        elif member.islnk():
            links[name] = member.linkname.removeprefix("./")
        elif member.issym():
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
    return places, {name: links.get(target, target) for name, target in links.items()}


def really(root: Path, called: str = "") -> str:
    """Say what archive a file is, by its first bytes, that is called another or none."""
    try:
        with root.open("rb") as file:
            start = file.read(6)
    except OSError:
        return ""
    endings = {b"\x1f\x8b": ".tar.gz", b"BZ": ".tar.bz2", b"\xfd7": ".tar.xz", b"7z": ".7z", b"Ra": ".rar"}
    endings |= {} if called == ".zip" else {b"PK": ".zip"}
    if start[:2] in endings and (called != ".tar" or start[:2] in {b"PK", b"7z", b"Ra"}):
        return f" It begins as {endings[start[:2]]} does: rename it."
    return " Its end is missing: fetch it again." if start[:2] == b"PK" else ""


def _plain_tar(root: Path) -> IO[bytes]:
    with root.open("rb") as file:
        start = file.read(6)
    openers = {b"\x1f\x8b": "gzip", b"BZ": "bz2", b"\xfd7": "lzma"}
    packed = openers.get(start[:2])
    if packed is None:
        return root.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the images are asked for
    try:
        with importlib.import_module(packed).open(root, "rb") as source:
            shutil.copyfileobj(source, unpacked, 1 << 20)
    except BaseException:
        unpacked.close()
        raise
    unpacked.seek(0)
    return unpacked
