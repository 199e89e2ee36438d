"""A table that names images: CSV, TSV, JSON lines, JSON, or text with a path and a class on each line."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import replace
from pathlib import Path

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.index import Seen, indexed
from hardener.data.layouts._division import divided_by_lists, divided_by_names
from hardener.data.layouts._split_rows import fold_of
from hardener.data.place import Folder
from hardener.data.split_names import own_name, split_in
from hardener.data.tables.class_files import is_called_after_classes, with_names_told
from hardener.data.tables.columns import names_columns
from hardener.data.tables.content import looks_like_image
from hardener.data.tables.rows import Sheet, bring
from hardener.data.tables.table import ENDINGS, LISTS, read_table
from hardener.data.tree import Tree, is_passed_over
from hardener.data.unclear.untaken import doubts_about_names

_PEEKED, _MOST = 1 << 14, 100
_FOLDERS = ("splits", "split", "lists", "meta")
"""Folders beside a table that hold lists of splits."""


class Manifest:
    """Paths count from the table's folder, or from `--images-root`."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file, by its name; of a text file by its first line."""
        name = root.name.lower()
        return root.is_file() and name.endswith(ENDINGS) and (not name.endswith(LISTS) or _lists_images(root))

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images that the table names.

        Raises:
            HardenerError: see `bring`.
        """
        own = root.parent
        asked = reading.images_root
        base = own if asked is None or not Path(asked).is_dir() else Path(asked)

        def look() -> tuple[Brought, Seen]:
            place = Folder(base)
            found, lists = _bring(root, place, reading)
            found = divided_by_names(found)
            if None in found.splits:
                doubts = doubts_about_names(found.splits[None].paths)
                found = replace(found, doubts=(*found.doubts, *doubts))
            walked = Tree() if place.walked is None else place.walked
            folders = sorted({*place.listed, *walked.folders})
            table = os.path.relpath(os.path.abspath(root), os.path.abspath(base))
            return found, Seen(base, folders, [table, *lists], place.linked or walked.changeable)

        return indexed(base, str(root.absolute()), reading, look)


def _bring(root: Path, place: Folder, reading: Reading) -> tuple[Brought, list[str]]:
    """Return what a table names, divided by lists beside it, and the files and folders that were looked into for it."""
    table = read_table(str(root), root.read_bytes())
    beside = os.path.relpath(os.path.abspath(root.parent), os.path.abspath(place.root)).replace(os.sep, "/")
    folders = ("",) if beside == "." or beside.startswith("..") else ("", beside)
    found = bring([Sheet(table, folders, hint=split_in(root.stem))], place, reading)
    lists = _lists_beside(root, "" if beside == "." else beside, reading)
    found = with_names_told(found, place, lists)
    looked = [beside, *dict.fromkeys(name.rpartition("/")[0] for name in lists), *lists]
    split = split_in(root.stem)
    if lists and (split is None or (split == "train" and not reading.alone)):
        return divided_by_lists(found, place, Tree(others=lists), (), reading), looked
    return found, looked


def _lists_beside(root: Path, beside: str, reading: Reading) -> list[str]:
    """Return the lists and tables beside a table, and in a folder of splits there, by their names from the place."""
    start = f"{beside}/" if beside else ""
    found = []
    for folder in ("", *_FOLDERS):
        with contextlib.suppress(OSError):
            names = sorted(entry.name for entry in os.scandir(root.parent / folder) if entry.is_file())
            found += [f"{start}{folder}/{name}" if folder else f"{start}{name}" for name in names[: _MOST + 1]]
    own, number = f"{start}{root.name}", fold_of(root.stem)
    found = [name for name in found if not number or fold_of(own_name(name)) in ("", number)]  # no other fold's
    fit = [name for name in found if (name.lower().endswith(ENDINGS) or is_called_after_classes(name)) and name != own]
    return [] if len(fit) > _MOST else [name for name in fit if not is_passed_over(name, reading.ignore)]


def _lists_images(root: Path) -> bool:
    """Tell whether the first lines name images, or folders, and what more: `1.jpg cat`, `id,label`, `clip7 2`."""
    with root.open("rb") as file:
        lines = file.read(_PEEKED).decode("utf-8-sig", "replace").splitlines()
    words = [re.split(r"[\s,;|]+", line.strip()) for line in lines if line.strip()]
    if words and len(words[0]) == 1 and words[0][0].isdecimal():  # how many lines follow
        words = words[1:]
    if any(len(line) > 1 and any(map(looks_like_image, line)) for line in words[:2]) or names_columns(words[:1]):
        return True
    named = [line[0].replace("\0", "").strip("./") for line in words[:3] if len(line) > 1]
    return any(name and os.path.isdir(root.parent / name) for name in named)  # of any length
