"""Rows that stand for several images each: those of a folder, `clip_07`, or frames, `abc_0.jpg` of `abc.mp4`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from hardener.config.reading import Reading
from hardener.data.brought import SplitName
from hardener.data.split_names import own_name
from hardener.data.tables.content import Table, looks_like_image
from hardener.data.tables.finding import nearest

_ENOUGH = 0.5
"""The share of rows that must stand for images."""
_EACH = 0.9
"""The share of rows that name something of their own: a row an image, by its class, is no row a folder."""
_TRIED = 200
_FRAME = re.compile(r"[\W_]*(?:[\W_](?:frames?|imgs?|images?|faces?)[\W_]*)?$", re.I)
_ENDING = re.compile(r"\.[A-Za-z]\w{1,3}")
_BETWEEN = re.compile(r"[,;:\t|\n\r{}\[\]]")


@dataclass(frozen=True)
class Several:
    """A table whose rows stand for several images each.

    Attributes:
        table: with what it is read as: a first row that is no header is a row.
        column: that names the folders, or what the frames are called after.
        images: of each row; none where it stands for nothing.
        folders: it names folders.
    """

    table: Table
    column: str
    images: tuple[tuple[str, ...], ...]
    folders: bool

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


def several_of(table: Table, below: Below, reading: Reading, split: SplitName | None = None) -> Several | None:
    """Return a table as one whose rows stand for several images; None where they do not.

    Args:
        below: of the place that the table tells of.
        split: what the table's name tells.
    """
    if names_images(table):
        return None
    for own in (table, *_in_words(table)):
        for place, (name, cells) in enumerate(list(own.columns.items()), 1):
            frames = below.are_called_after(cells)
            find = partial(below.find, table=table.name, split=split, frames=frames)
            if not _fits(cells, find):
                continue
            column, taken = (str(place), _without_header(own)) if own.headed and find(name) else (name, own)
            if reading.path_column in (None, column):
                images = tuple(tuple(find(cell)) for cell in taken.columns[column])
                return Several(taken, column, images, not frames or any(map(below.is_folder, cells)))
    return None


def _fits(cells: Sequence[str], find: Callable[[str], list[str]]) -> bool:
    some = cells[:: max(1, len(cells) // _TRIED)]
    if len(set(cells)) < max(2, _EACH * len(cells)):
        return False
    found = [find(cell) for cell in some]
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


class Below:
    """Finds what a cell stands for, below a place. It is built once for many tables, and as it is asked.

    Args:
        images: of the place.
    """

    def __init__(self, images: Collection[str]) -> None:
        self._images = images

    def find(self, cell: str, table: str, split: SplitName | None, *, frames: bool) -> list[str]:
        """Return the images of the one folder that a cell names, or of those called after it; none for any other.

        Args:
            table: its name, and the split that this tells: of folders with one name that of the split counts.
            frames: whether what is called after it counts.
        """
        named = cell.replace("\\", "/").removeprefix("./").strip("/ ")
        if not named:
            return []
        parts = named.split("/")
        for end in dict.fromkeys((named, "/".join(parts[-2:]), parts[-1])):
            folders = nearest([f"{folder}/" for folder in self._folders.get(end, ())], table, split)
            if len(folders) == 1:
                return self._held[folders[0].rstrip("/")]
        return next((self._called[way] for way in _ways(parts[-1]) if frames and way in self._called), [])

    def is_folder(self, cell: str) -> bool:
        """Tell whether a cell ends in the name of a folder."""
        return cell.replace("\\", "/").strip("/ ").rpartition("/")[2] in self._folders

    def is_mentioned(self, text: str) -> bool:
        """Tell whether a text names one of the folders, or what images are called after."""
        words = [word.strip(" \"'/\\").replace("\\", "/").rpartition("/")[2] for word in _BETWEEN.split(text)]
        words += [word for line in words for word in line.split()]
        return any(word in self._folders for word in words) or any(
            way in self._called for word in words for way in _ways(word)
        )

    def are_called_after(self, cells: Iterable[str]) -> bool:
        """Tell whether most images are called after some of these, by a few of them."""
        some = list(self._images)[:: max(1, len(self._images) // _TRIED)]
        known = {way for cell in cells for way in _ways(cell.rpartition("/")[2])}
        return sum(_start(image) in known for image in some) >= _ENOUGH * len(some)

    @cached_property
    def _held(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for image in self._images:
            folder = image.rpartition("/")[0]
            while folder:
                found[folder].append(image)
                folder = folder.rpartition("/")[0]
        return dict(found)

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        return _by_ends(self._held)

    @cached_property
    def _called(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for image in self._images:
            if start := _start(image):
                found[start].append(image)
        return dict(found)


def _start(image: str) -> str:
    """Return what a frame is called after; an empty text where it has no number at its end."""
    stem = own_name(image)
    start = stem.rstrip("0123456789")
    return _FRAME.sub("", start) if start != stem else ""


def _ways(name: str) -> tuple[str, ...]:
    """Return a name, and that without its ending: `abc.mp4`, `abc`."""
    ending = _ENDING.search(name, name.rfind(".")) if "." in name else None
    return (name,) if ending is None else (name, name[: ending.start()])


def _by_ends(held: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    ends: dict[str, list[str]] = defaultdict(list)
    for folder in held:
        parts = folder.split("/")
        for end in dict.fromkeys((folder, "/".join(parts[-2:]), parts[-1])):
            ends[end].append(folder)
    return ends
