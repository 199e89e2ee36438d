"""Files and folders below a place, as far as they matter: a folder's, or an archive's."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from hardener.config.data_findings import LeftOut, left_out
from hardener.data.file_kind import EXTENSIONS, kind_of

_JUNK = {
    "__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "system volume information",
    "lost+found", "__pycache__", "ehthumbs.db", "icon\r",
}  # fmt: skip
_OF_TOOLS = (
    ".git", ".svn", ".hg", ".dvc", ".bzr", ".ipynb", ".jupyter", ".cache", ".thumb", ".trash", ".tmp", ".temp", ".venv",
    ".env", ".idea", ".vs", ".tox", ".nox", ".pytest", ".mypy", ".ruff", ".config", ".local", ".apple", ".spotlight",
    ".fsevents", ".documentrevisions", ".ds_store", "._", ".@", ".stfolder", ".stversions", ".sync", ".dropbox",
    ".picasa", ".xvpics", ".digikam", ".snapshot", ".zfs", ".huggingface", ".recycle", ".metadata", ".previews",
)  # fmt: skip
"""What the names of folders begin with that programs make beside a person's own, as they are in small letters."""
DOTTED = "folders of images that a dot hides"
_TOLD: ContextVar[Callable[[int], object]] = ContextVar("told", default=lambda found: None)
_LOOKED_AT = 100  # of a hidden folder's files
OTHER = "other files"
OWN = "hardener's own run folders"


@dataclass
class Tree:
    """Names below a root, with `/` between folders.

    Attributes:
        images: those of image files.
        others: those of files that are none.
        folders: all that were looked into, `""` for the root.
        left_out: by reason, the names of what was not used and might have been meant.
        looked: files whose first bytes were read, since the name does not tell.
        linked: a link was followed.
        dotted: folders that a dot hides, and that no program is known to have made.
    """

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    linked: bool = False
    dotted: list[str] = field(default_factory=list)

    @property
    def changeable(self) -> bool:
        """Whether what lies here may change without a folder's time telling it: links, and what could not be read."""
        return self.linked or any(reason.startswith("unreadable") or reason == OWN for reason in self.left_out)

    def leave(self, reason: str, name: str) -> None:
        """Note that a file or folder is not used."""
        self.left_out.setdefault(reason, []).append(name)

    def add(self, name: str, first_bytes: Callable[[], bytes]) -> None:
        """Put a file where it belongs; its bytes are looked at where its name does not tell."""
        if name.lower().endswith(EXTENSIONS):
            self.images.append(name)
            return

        def look() -> bytes:
            self.looked.append(name)
            return first_bytes()

        try:
            kind = kind_of(name, look)
        except OSError as error:
            self.leave(f"unreadable ({error.strerror})", name)
            return
        if kind == "image":
            self.images.append(name)
        elif kind is None:
            self.others.append(name)
        else:
            self.leave(kind, name)

    def facts(self) -> tuple[LeftOut, ...]:
        """Return what was left out, for the record."""
        reasons = {**self.left_out, OTHER: self.others}
        return tuple(found for reason, names in sorted(reasons.items()) if (found := left_out(reason, names)))


def is_passed_over(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a file or folder is hidden, a system's litter, or was named by the user.

    Args:
        name: with the folders that it lies in.
        patterns: of the user's; each is held against the last part and against the whole.
    """
    last = name.rpartition("/")[2]
    if last.startswith(".") or last.lower() in _JUNK:
        return True
    return is_named(name, patterns)


def is_named(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether one of the user's patterns fits a name: its last part, or the whole."""
    last = name.rpartition("/")[2]
    return any(fnmatch.fnmatch(last, p) or fnmatch.fnmatch(name, p.strip("/")) for p in patterns)


def _may_be_meant(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a folder that a dot hides may be somebody's class: no program's, and not named by the user."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and not last.lower().startswith(_OF_TOOLS) and not is_named(name, patterns)


def _tell_dotted(tree: Tree, folders: Iterable[str]) -> None:
    """Note hidden folders that hold images and lie beside others that do."""
    for name in sorted(folders):
        above = name.rpartition("/")[0]
        start = f"{above}/" if above else ""
        if any("/" in image[len(start) :] for image in tree.images if image.startswith(start)):
            tree.leave(DOTTED, name)


@contextmanager
def telling(found: Callable[[int], object]) -> Iterator[None]:
    """Call a function with how many files were found, again and again, while folders are listed in the block."""
    token = _TOLD.set(found)
    try:
        yield
    finally:
        _TOLD.reset(token)


def walk(root: Path, patterns: Sequence[str] = ()) -> Tree:
    """List what lies below a folder. Links are followed, but not round in circles; no pipe or device is opened."""
    tree = Tree()
    _walk(tree, root, "", patterns, (os.path.realpath(root),))
    _tell_dotted(tree, (name for name in tree.dotted if _holds_images(root / name)))
    for names in (tree.images, tree.others, tree.folders):
        names.sort()
    return tree


def grown(tree: Tree, names: Sequence[str], patterns: Sequence[str], first_bytes: Callable[[str], bytes]) -> None:
    """Add the files of an archive to a tree.

    Args:
        names: of files, with `/` between folders.
        first_bytes: of a file by its name.
    """
    folders, dotted = {""}, set[str]()
    for name in names:
        parts = name.split("/")
        ways = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        if any(is_passed_over(way, patterns) for way in ways):
            if name.lower().endswith(EXTENSIONS) and not any(is_passed_over(way, patterns) for way in ways[:-2]):
                dotted.update(way for way in ways[-2:-1] if _may_be_meant(way, patterns))
            continue
        folders.update(ways[:-1])
        tree.add(name, functools.partial(first_bytes, name))
    tree.folders.extend(folders)
    _tell_dotted(tree, dotted)
    for found in (tree.images, tree.others, tree.folders):
        found.sort()


def _walk(tree: Tree, root: Path, below: str, patterns: Sequence[str], above: tuple[str, ...]) -> bool:
    """List one folder; return whether it is, or holds only, what is not meant to be looked into."""
    try:
        with os.scandir(root / below) as listed:
            entries = list(listed)
    except OSError as error:
        tree.leave(f"unreadable folders ({error.strerror})", below or ".")
        return True
    if below and _is_own(root / below, {entry.name for entry in entries}):
        tree.leave(OWN, below)
        return True
    tree.folders.append(below)
    _TOLD.get()(len(entries))
    passed = []
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if is_passed_over(name, patterns):
            tree.dotted += [name] if _may_be_meant(name, patterns) and entry.is_dir() else []
            continue
        passed.append(False)
        tree.linked |= entry.is_symlink()
        if os.path.isdir(entry) if entry.is_symlink() else entry.is_dir():
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
            if real in above or (entry.is_symlink() and any(way.startswith(real.rstrip("/") + "/") for way in above)):
                tree.leave("links back to a folder above", name)
                continue
            passed[-1] = _walk(tree, root, name, patterns, (*above, real))
        elif os.path.isfile(entry) if entry.is_symlink() else entry.is_file():
            tree.add(name, lambda path=entry.path: _first_bytes(path))  # type: ignore[misc]
        else:
            tree.leave("broken links" if entry.is_symlink() else "pipes, sockets and devices", name)
    if passed and all(passed):
        tree.folders.remove(below)
        return True
    return False


def _holds_images(folder: Path) -> bool:
    """Tell whether one of the first files of a folder has the name of an image."""
    try:
        with os.scandir(folder) as listed:
            return any(entry.name.lower().endswith(EXTENSIONS) for entry in itertools.islice(listed, _LOOKED_AT))
    except OSError:
        return False


def _is_own(folder: Path, names: set[str]) -> bool:
    """Tell whether a folder is a run of hardener's, or holds what it has cached."""
    if "run.json" in names:
        try:
            found = json.loads((folder / "run.json").read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and str(found.get("schema", "")).startswith("hardener/")
    return any(name.endswith(".pixels") for name in names)


def _first_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(512)
