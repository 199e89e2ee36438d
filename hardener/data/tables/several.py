"""Rows that stand for several images each: those of a folder, `clip_07`, or frames, `abc_0.jpg` of `abc.mp4`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hardener.config.reading import Reading
from hardener.data.brought import SplitName
from hardener.data.split_names import own_name
from hardener.data.tables.finding import nearest
from hardener.data.tables.table import Table, looks_like_image

_ENOUGH = 0.5
"""The share of rows that must stand for images."""
_EACH = 0.9
"""The share of rows that name something of their own: a row an image, by its class, is no row a folder."""
_TRIED = 200
_FRAME = re.compile(r"[\W_]*(?:frames?|imgs?|images?|faces?)?[\W_]*\d+", re.I)
_ENDING = re.compile(r"\.[A-Za-z]\w{1,3}")


@dataclass(frozen=True)
class Several:
    """A table whose rows stand for several images each.

    Attributes:
        table: with what it is read as: a first row that is no header is a row.
        column: that names the folders, or what the frames are called after.
        images: of each row; none where it stands for nothing.
    """

    table: Table
    column: str
    images: tuple[tuple[str, ...], ...]

    def read_by(self, reading: Reading) -> Reading:
        """Return how a user would have it read who names its column."""
        return reading.model_copy(update={"path_column": self.column})

    def note(self, together: bool) -> str:
        """Say what its rows stand for."""
        drawn = ", and what is drawn takes all of a row or none" if together else ""
        return f"{self.table.name}: a row stands for all images of a folder, or for those called after it{drawn}"

    def parted(self, labels: Sequence[str]) -> bool:
        """Tell whether what a row stands for is a part of its class, as a clip is, and the classes have several."""
        rows: dict[str, int] = defaultdict(int)
        for label, images in zip(labels, self.images, strict=True):
            rows[label] += bool(images) and bool(label)
        return min((count for label, count in rows.items() if label), default=0) > 2


def names_images(table: Table) -> bool:
    """Tell whether a table names files of images."""
    return any(looks_like_image(cell) for cells in table.columns.values() for cell in cells[:50])


def several_of(
    table: Table, images: Collection[str], reading: Reading, split: SplitName | None = None
) -> Several | None:
    """Return a table as one whose rows stand for several images; None where they do not.

    Args:
        images: of the place that the table tells of.
        split: what the table's name tells; of folders with one name, that of the split counts.
    """
    if names_images(table):
        return None
    below = _Below(images, table.name, split)
    for own in (table, *_in_words(table)):
        for place, (name, cells) in enumerate(list(own.columns.items()), 1):
            if not _fits(cells, below):
                continue
            column = str(place) if own.headed and below.find(name) else name
            own = _without_header(own) if column != name else own
            if reading.path_column not in (None, column):
                continue
            return Several(own, column, tuple(tuple(below.find(cell)) for cell in own.columns[column]))
    return None


def _fits(cells: Sequence[str], below: _Below) -> bool:
    some = cells[:: max(1, len(cells) // _TRIED)]
    if len(set(cells)) < max(2, _EACH * len(cells)):
        return False
    found = [below.find(cell) for cell in some]
    return sum(map(bool, found)) >= _ENOUGH * len(some) and any(len(own) > 1 for own in found)


def _without_header(table: Table) -> Table:
    """Return a table whose header is a row."""
    columns = {str(place): [name, *cells] for place, (name, cells) in enumerate(table.columns.items(), 1)}
    return Table(table.name, columns, headed=False)


def _in_words(table: Table) -> Iterator[Table]:
    """Yield the table with a cell for each word, where its lines have equally many: `clip_07 2 0 1`."""
    names = list(table.columns)
    lines = [" ".join(cells).split() for cells in zip(*table.columns.values(), strict=True)]
    lines = [*([" ".join(names).split()] if table.headed else []), *lines]
    if len(lines[0]) > len(names) and len({len(line) for line in lines}) == 1:
        columns = {str(place): list(cells) for place, cells in enumerate(zip(*lines, strict=True), 1)}
        yield Table(table.name, columns, headed=False)


class _Below:
    """Finds what a cell stands for, below a place."""

    def __init__(self, images: Iterable[str], table: str, split: SplitName | None) -> None:
        self._table, self._split = table, split
        self._held: dict[str, list[str]] = defaultdict(list)
        self._called: dict[str, list[str]] = defaultdict(list)
        for image in images:
            parts = image.split("/")[:-1]
            for end in range(1, len(parts) + 1):
                self._held["/".join(parts[:end])].append(image)
            stem = own_name(image)
            if (start := stem[: found.start()] if (found := _last(stem)) else stem) != stem:
                self._called[start].append(image)
        self._folders = _by_ends(self._held)

    def find(self, cell: str) -> list[str]:
        """Return the images of the one folder that a cell names, or of those called after it; none for any other."""
        named = cell.replace("\\", "/").removeprefix("./").strip("/ ")
        parts = named.split("/")
        for end in dict.fromkeys((named, "/".join(parts[-2:]), parts[-1])):
            folders = nearest([f"{folder}/" for folder in self._folders.get(end, ())], self._table, self._split)
            if len(folders) == 1:
                return self._held[folders[0].rstrip("/")]
        whole = parts[-1]
        ending = _ENDING.search(whole, whole.rfind(".")) if "." in whole else None
        return self._called.get(whole) or self._called.get(whole[: ending.start()] if ending else whole, [])


def _last(stem: str) -> re.Match[str] | None:
    """Return the number that a frame's name ends with, and the mark before it."""
    found = next((match for match in _FRAME.finditer(stem) if match.end() == len(stem)), None)
    return found if found is not None and found.start() else None


def _by_ends(held: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    ends: dict[str, list[str]] = defaultdict(list)
    for folder in held:
        parts = folder.split("/")
        for end in dict.fromkeys((folder, "/".join(parts[-2:]), parts[-1])):
            ends[end].append(folder)
    return ends
