"""The paths that a table names -> files of a place. Nothing outside the place is ever named."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from hardener.data.brought import SplitName
from hardener.data.file_kind import EXTENSIONS
from hardener.data.place import Place
from hardener.data.split_names import looks_drawn, shared_start, small_words_of, split_in, split_of_file
from hardener.errors import HardenerError

_DRIVE = re.compile(r"[A-Za-z]:/|//[^/]")
_STORE = re.compile(r"[A-Za-z][\w+.-]+://")
_TRIED = 100
"""Paths of a table that a folder must have before it is advised."""
_MANY, _PART = 10, 0.1
"""How many images, or what share of a table's, make a folder one where they lie, if their names alone are known."""
_DRAWN = {
    "mask", "masks", "contour", "contours", "outline", "outlines", "sketch", "sketches", "edge", "edges", "annotation",
    "annotations", "segmentation", "segmentations", "segmented", "gt", "truth", "trimap", "trimaps", "overlay",
    "overlays", "heatmap", "heatmaps", "saliency", "depth",
}  # fmt: skip
"""Words of folders whose images a table hardly names, where others have the same names."""


class Finder:
    """Finds the files that a table names, below a place.

    Args:
        table: its path; where several hold a file of one name, a folder that is called so comes first, and what
            lies beside it.
        folders: that its paths may count from, of which the first that has a file is taken.
        ignore: what is passed over.
        split: what the table's own name tells, as `train.csv` does: of files with one name, those of that split count.
    Attributes:
        outside: paths that would lead out of the place.
        below: folders in which files were found that lie elsewhere than their paths say.
        by_name: of these files those of which nothing but the own name fitted.
        unsure: paths that several files fit, each with two of these.
    """

    def __init__(
        self,
        place: Place,
        table: str,
        folders: Sequence[str],
        ignore: Sequence[str],
        split: SplitName | None = None,
    ) -> None:
        self._place, self._folders, self._ignore, self._split = place, folders, ignore, split
        inside = os.path.relpath(os.path.abspath(table), os.path.abspath(place.root)).replace(os.sep, "/")
        self._table = os.path.basename(table) if inside.startswith("../") else inside  # what lies above tells nothing
        self._stems: dict[str, dict[str, list[str]]] = {}
        self._everywhere: dict[str, list[str]] | None = None
        self._shortened: dict[str, list[str]] | None = None
        self.outside: list[str] = []
        self.below: set[str] = set()
        self.by_name: set[str] = set()
        self.unsure: list[tuple[str, ...]] = []

    def find(self, path: str, split: SplitName | None) -> str | None:
        """Return a file's name in the place; None where it is not there or would lie outside."""
        named = _plain(path)
        if not named or "\0" in named:
            return None
        foreign = _DRIVE.match(named) is not None or (posixpath.isabs(named) and not os.path.lexists(named))
        inside = [] if foreign else [way for way in self._ways(named) if way != ".." and not way.startswith("../")]
        if foreign and (moved := self._moved(named, split or self._split)) is not None:
            return moved
        if not inside:
            self.outside.append(path)
            return None
        here = next((found for way in inside if (found := self._here(way)) is not None), None)
        return here or self._elsewhere(posixpath.normpath(named), split or self._split)

    def forget(self) -> None:
        """Forget what was found, and keep what was listed."""
        for found in (self.outside, self.below, self.by_name, self.unsure):
            found.clear()

    def _ways(self, named: str) -> list[str]:
        """Return the names in the place that a path may stand for, those that lead out of it too."""
        if posixpath.isabs(named):
            return [os.path.relpath(named, os.path.abspath(self._place.root))]
        return [self._inside(posixpath.normpath(posixpath.join(folder, named))) for folder in self._folders]

    def _inside(self, way: str) -> str:
        """Return the name in the place of what leads out of it and back: `../imgs/1.png` of `imgs`."""
        if not way.startswith("../"):
            return way
        root = os.path.abspath(self._place.root)
        return os.path.relpath(os.path.join(root, way), root).replace(os.sep, "/")

    def _here(self, name: str) -> str | None:
        folder, _, own = name.rpartition("/")
        files = self._place.files_in(folder)
        if own in files:
            return name
        if folder not in self._stems:  # Kaggle's tables name images without their extension
            self._stems[folder] = _by_stem(files)
        stem = own.rpartition(".")[0] if own.lower().endswith(EXTENSIONS) else own
        found = [file for file in self._stems[folder].get(stem, ()) if stem == own or _lowered(file) == own]
        return posixpath.join(folder, found[0]) if len(found) == 1 else None

    def _moved(self, named: str, split: SplitName | None) -> str | None:
        """Return the file below that the path of another machine ends with, by as many of its folders as lie here."""
        parts = named.split("/")
        ends = ["/".join(parts[start:]) for start in range(1, len(parts))]
        return next((found for end in ends if (found := self._elsewhere(end, split)) is not None), None)

    def _elsewhere(self, named: str, split: SplitName | None) -> str | None:
        """Return the one file below whose path ends so."""
        if self._everywhere is None:
            images = self._place.tree(self._ignore).images
            self._everywhere = defaultdict(list)
            for image in images:
                own = image.rpartition("/")[2]
                for way in {own, _lowered(own), own.rpartition(".")[0]}:
                    self._everywhere[way].append(image)
        own = named.rpartition("/")[2]
        found = [image for image in self._everywhere.get(own, ()) if _ends(image, named)]
        found = [image for image in found if image.rpartition("/")[2] == own] or found
        if not found:
            if self._shortened is None:
                self._shortened = shortened(image for images in self._everywhere.values() for image in images)
            stem = own.rpartition(".")[0] if own.lower().endswith(EXTENSIONS) else own
            found = self._shortened.get(stem, [])
        found = nearest(found, self._table, split)
        if len(found) != 1:
            self.unsure += [(named, *found[:2])] if found else []
            return None
        name = found[0]
        if name.rpartition("/")[2] not in self._place.files_in(name.rpartition("/")[0]):
            return None
        self.below.add(name.rpartition("/")[0])
        if "/" not in named and "/" in name:
            self.by_name.add(name)
        return name

    def strays(self, rows: Sequence[tuple[str, str]]) -> set[str]:
        """Return the files that only their own name fits, and that lie where the table's images do not.

        A table's images may lie in several folders, of splits, of classes, or of parts with many images each.

        Args:
            rows: each file that was found, and its class.
        """
        folders: dict[str, dict[str, str]] = defaultdict(dict)
        for name, label in rows:
            folders[name.rpartition("/")[0]][name] = label
        if len(folders) < 2 or not self.by_name:
            return set()
        return {
            name
            for folder, own in folders.items()
            if not self.by_name.isdisjoint(own) and not self._belongs(folder, folders, len(rows))
            for name in self.by_name.intersection(own)
        }

    def _belongs(self, folder: str, folders: Mapping[str, Mapping[str, str]], count: int) -> bool:
        own = folders[folder]
        beside = [name for name in self._place.files_in(folder) if name.lower().endswith(EXTENSIONS)]
        if 2 * len(own) >= len(beside) and (len(own) >= _MANY or len(own) > _PART * count):
            return True
        labels = set(own.values()) - {""}
        others = {label for other, members in folders.items() if other != folder for label in members.values()}
        return any(map(split_in, folder.split("/"))) or (len(labels) == 1 and not labels & others)


def nearest(images: list[str], table: str, split: SplitName | None) -> list[str]:
    """Of images with one name, return those in a folder that is called like the table, or else one of the split.

    Where several are left, those that lie beside the table, or below the nearest folder above it that holds any; and of
    these those that are not drawn on images, by their folders.
    """
    if len(images) < 2:
        return images
    folder, _, own = table.replace("\\", "/").rpartition("/")
    split = split or split_of_file(table)
    of_table = [image for image in images if own.rpartition(".")[0] in image.split("/")[:-1]]
    of_split = [image for image in images if split and split in map(split_in, image.split("/")[:-1])]
    found = of_table or of_split or images
    while folder and len(found) > 1:
        if below := [image for image in found if image.startswith(f"{folder}/")]:
            found = below
            break
        folder = folder.rpartition("/")[0]
    return ([image for image in found if not _is_drawn(image)] or found) if len(found) > 1 else found


def _is_drawn(image: str) -> bool:
    return any(word in _DRAWN for folder in image.split("/")[:-1] for word in small_words_of(folder))


def shortened(images: Iterable[str]) -> dict[str, list[str]]:
    """Return images by their names without the word that all in a folder end with: `1_aligned.jpg` by `1`.

    Drawings on images are left out: `1_mask.png` is not what a table calls 1.
    """
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for image in images:
        folder, _, own = image.rpartition("/")
        folders[folder][image] = own.rpartition(".")[0]
    found: dict[str, list[str]] = defaultdict(list)
    for stems in folders.values():
        backwards = [stem[::-1] for stem in stems.values()]
        end = shared_start([min(backwards), max(backwards)]) if len(stems) > 1 else 0  # all share what these two do
        word = next(iter(stems.values()))[-end:]
        if end and re.search("[a-z]", word, re.I) and not looks_drawn(word.strip(" _-.")):
            for image, stem in stems.items():
                found[stem[:-end]].append(image)
    return found


def _plain(path: str) -> str:
    """Return a path with `/`, of a file: URL what it names, of a store such as gs:// one elsewhere, `~` as the home."""
    if path.lower().startswith("file://"):
        return unquote("/" + path[7:].partition("/")[2])
    if (store := _STORE.match(path)) is not None:
        return f"//{path[store.end() :]}"
    if path.startswith("~/"):
        return os.path.expanduser(path)
    return path.replace("\\", "/") if "/" not in path else path


def refuse_outside(name: str, place: Place, outside: Sequence[str]) -> None:
    """Say that paths lead out of the place, and what to do.

    Raises:
        HardenerError: always, where there are such paths.
    """
    if not outside:
        return
    some = ", ".join(outside[:3]) + (", …" if len(outside) > 3 else "")
    start = f"{len(outside)} paths of {name} lead out of {place.root} ({some})."
    root = os.path.abspath(place.root)
    ways = {os.path.dirname(os.path.normpath(os.path.join(root, path))) for path in outside}
    shared = os.path.commonpath(ways)
    chosen = shared if posixpath.isabs(outside[0]) else os.path.commonpath([shared, root])
    if os.path.isdir(shared) and os.path.isdir(root) and shared != "/":
        raise HardenerError(f"{start} Name the folder that they may lie in: --images-root {shlex.quote(chosen)}.")
    raise HardenerError(
        f"{start} They are not on this machine. Take what comes before the folder of the images off each path, and "
        "name that folder: --images-root DIR."
    )


def likely_root(root: Path, paths: Sequence[str]) -> Path | None:
    """Return the one folder near a place from which all of some paths lead to files; None: there is none, or several.

    Names such as `1.png` are in many folders, so one path proves nothing where many are asked for.
    """
    asked = [path for path in paths[:: max(1, len(paths) // _TRIED)] if path]
    if not asked or any(map(posixpath.isabs, asked)):
        return None
    near = [*root.absolute().parents[:2]]
    with contextlib.suppress(OSError):
        near += sorted(folder for folder in root.absolute().parent.iterdir() if folder.is_dir())
    fit = [folder for folder in near if all(_leads(folder, path) for path in asked)]
    return fit[0] if len(fit) == 1 else None


def root_of_split(folder: str, split: SplitName) -> str | None:
    """Return the folder that is to one split what a folder of another is to its own: `test/imgs` to `train/imgs`."""
    parts = Path(os.path.abspath(folder)).parts
    for place in range(len(parts) - 1, max(0, len(parts) - 3), -1):
        if split_in(parts[place]) in (None, split):
            continue
        with contextlib.suppress(OSError):
            beside = [own for own in os.listdir(Path(*parts[:place])) if split_in(own) == split]
            ways = [Path(*parts[:place], own, *parts[place + 1 :]) for own in beside]
            found = [way for way in ways if way.is_dir()]
            return str(found[0]) if len(found) == 1 else None
    return None


def nearly_named(place: Place, paths: Sequence[str]) -> tuple[str, str] | None:
    """Return a path and the file that it seems to mean, where most differ by case, ending or leading zeros alone."""
    files: dict[str, list[str]] = defaultdict(list)
    for image in place.tree(()).images:
        files[_nearly(image)].append(image)
    asked = [path for path in paths[:: max(1, len(paths) // _TRIED)] if path]
    found = [(path, files[_nearly(path)][0]) for path in asked if len(files.get(_nearly(path), ())) == 1]
    return found[0] if found and 2 * len(found) > len(asked) else None


def _nearly(path: str) -> str:
    own = path.replace("\\", "/").rpartition("/")[2].casefold()
    stem, dot, ending = own.rpartition(".")
    return (stem if dot and f".{ending}" in EXTENSIONS else own).lstrip("0") or "0"


def _leads(folder: Path, path: str) -> bool:
    return any((folder / way).is_file() for way in (path, *(path + ending for ending in EXTENSIONS)))


def _by_stem(files: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in files:
        stem, _, ending = name.rpartition(".")
        if f".{ending.lower()}" in EXTENSIONS:
            found[stem].append(name)
    return found


def _ends(image: str, named: str) -> bool:
    """Tell whether an image's path, with its extension or without, ends with what a table says."""
    return any(f"/{way}".endswith(f"/{named}") for way in (image, _lowered(image), image.rpartition(".")[0]))


def _lowered(name: str) -> str:
    """Return a name whose extension is in small letters: tables say `1.jpg` of what a camera called `1.JPG`."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}.{ending.lower()}" if dot and f".{ending.lower()}" in EXTENSIONS else name
