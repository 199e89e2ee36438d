"""A table that names images: CSV, TSV, JSON lines, JSON, or text with a path and a class on each line."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.index import Seen, indexed
from hardener.data.place import Folder
from hardener.data.split_names import split_in
from hardener.data.tables.columns import names_columns
from hardener.data.tables.rows import Sheet, bring
from hardener.data.tables.table import ENDINGS, looks_like_image, read_table
from hardener.data.tree import Tree
from hardener.data.unclear.untaken import doubts_about_names


class Manifest:
    """Paths count from the table's folder, or from `--images-root`."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file, by its name; of a text file by its first line."""
        name = root.name.lower()
        return root.is_file() and name.endswith(ENDINGS) and (not name.endswith(".txt") or _lists_images(root))

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
            found = _bring(root, place, reading)
            if None in found.splits:
                doubts = doubts_about_names(found.splits[None].paths)
                found = replace(found, doubts=(*found.doubts, *doubts))
            walked = Tree() if place.walked is None else place.walked
            folders = sorted({*place.listed, *walked.folders})
            table = os.path.relpath(os.path.abspath(root), os.path.abspath(base))
            return found, Seen(base, folders, [table], place.linked or walked.changeable)

        return indexed(base, str(root.absolute()), reading, look)


def _bring(root: Path, place: Folder, reading: Reading) -> Brought:
    table = read_table(str(root), root.read_bytes())
    beside = os.path.relpath(os.path.abspath(root.parent), os.path.abspath(place.root)).replace(os.sep, "/")
    folders = ("",) if beside == "." or beside.startswith("..") else ("", beside)
    return bring([Sheet(table, folders, hint=split_in(root.stem))], place, reading)


def _lists_images(root: Path) -> bool:
    """Tell whether the first lines name images, or folders, and what more: `1.jpg cat`, `id,label`, `clip7 2`."""
    with root.open("rb") as file:
        lines = file.read(4096).decode("utf-8-sig", "replace").splitlines()
    words = [re.split(r"[\s,;|]+", line.strip()) for line in lines if line.strip()]
    if any(len(line) > 1 and any(map(looks_like_image, line)) for line in words[:2]) or names_columns(words[:1]):
        return True
    named = [line[0].replace("\0", "").strip("./") for line in words[:3] if len(line) > 1]
    return any(name and os.path.isdir(root.parent / name) for name in named)  # of any length
