"""A table that names images: CSV, TSV, JSON lines, JSON, or text with a path and a class on each line."""

from __future__ import annotations

import os
from pathlib import Path

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.place import Folder
from hardener.data.tables.rows import Sheet, bring
from hardener.data.tables.table import ENDINGS, Table, looks_like_image, read_table


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
        return bring_file(root, read_table(str(root), root.read_bytes()), reading)


def bring_file(root: Path, table: Table, reading: Reading) -> Brought:
    """Find the images that a file's table names.

    Raises:
        HardenerError: see `bring`.
    """
    own = root.parent
    place = own if reading.images_root is None or not Path(reading.images_root).is_dir() else Path(reading.images_root)
    beside = os.path.relpath(os.path.abspath(own), os.path.abspath(place)).replace(os.sep, "/")
    if beside == "." or beside.startswith(".."):
        return bring([Sheet(table)], Folder(place), reading)
    return bring([Sheet(table, ("", beside))], Folder(place), reading)


def _lists_images(root: Path) -> bool:
    with root.open("rb") as file:
        lines = file.read(4096).decode("utf-8", "replace").splitlines()
    first = next((line.split() for line in lines if line.strip()), [])
    return len(first) > 1 and any(map(looks_like_image, first))
