"""Tables and lists beside images: those that name these images, and the line to type that takes them."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from hardener.config.reading import Reading
from hardener.data.brought import SplitName
from hardener.data.layouts._lookup import Lookup
from hardener.data.place import Place
from hardener.data.split_names import own_name, small_words_of, split_of, split_of_file
from hardener.data.tables.candidates import may_hold_classes
from hardener.data.tables.columns import choose, choose_path
from hardener.data.tables.content import Table
from hardener.data.tables.divisions import tells_division
from hardener.data.tables.names import NoColumn
from hardener.data.tables.objects import OF_CATEGORIES
from hardener.data.tables.several import Below, Several, several_of
from hardener.data.tables.table import ENDINGS, read_table
from hardener.data.tree import Tree
from hardener.data.unclear.untaken import is_no_data, mentions
from hardener.errors import HardenerError

_DEEPEST = 3
_MANY = 50
"""Files in a folder above which each is about an image of its own."""
_PEEKED, _LARGEST = 1 << 14, 1 << 27
_TRIED = 200
_ENOUGH = 0.5
"""The share of a table's rows that name images at least; others are about something else."""
_OF_ANY = {
    "label", "labels", "list", "lists", "file", "files", "filenames", "names", "gt", "truth", "ground", "annotation",
    "annotations", "anno", "data", "dataset", "set", "image", "images", "img", "imgs", "info", "meta", "metadata",
    "csv", "table", "split", "class", "classes", "the", "a", "of", "v", "fold", "x", "y", "target", "targets", "new",
}  # fmt: skip
"""Words in the names of tables that tell no question."""
_OPTIONS: dict[SplitName, str] = {"validation": "--val", "test": "--test"}


@dataclass(frozen=True)
class Beside:
    """A table that names images of a place.

    Attributes:
        path: the column that names them, and `guessed` whether it must be told.
        files: the image of each row, if there is one.
        images: image -> its class, empty where there is none.
        choices: the columns that may hold classes, where none is known to; `labels` is then empty.
        split: what its name tells.
        fault: why its classes cannot be read.
        folders: its rows name folders of images.
    """

    name: str
    table: Table
    path: str
    guessed: bool
    files: list[str | None]
    images: dict[str, str]
    choices: tuple[str, ...] = ()
    split: SplitName | None = None
    fault: str = ""
    folders: bool = False

    @property
    def labels(self) -> set[str]:
        """The classes that it tells."""
        return {label for label in self.images.values() if label}

    @property
    def question(self) -> str:
        """What its name tells but for splits, in small letters: `artist` of `artist_train.csv`."""
        words = [word for word in small_words_of(own_name(self.name)) if not split_of(word)]
        return " ".join(word for word in words if word not in _OF_ANY and not word.isdecimal())

    @property
    def folder(self) -> str:
        """Where it lies."""
        return self.name.rpartition("/")[0]


def tables_beside(place: Place, tree: Tree, reading: Reading) -> list[Beside]:
    """Return the tables that name images of a place and have more than their names; none that was handed in."""
    names = [
        name
        for name in tree.others
        if name.lower().endswith(ENDINGS) and name.count("/") <= _DEEPEST and not is_no_data(name)
    ]
    counts = Counter(name.rpartition("/")[0] for name in names)
    names = [name for name in names if counts[name.rpartition("/")[0]] <= _MANY]
    stems = {own_name(name) for name in tree.images} if names else set()
    find: Lookup | None = None
    found = []
    for name in names:
        try:
            if not mentions(place.read(name, _PEEKED).decode("utf-8-sig", "replace"), stems):
                continue
            table = read_table(f"{place.root}/{name}", place.read(name))
        except (HardenerError, OSError):  # of something else, or torn
            continue
        find = find or Lookup(tree.images)
        beside = _looked_into(name, table, find, reading)
        found += [] if beside is None else [beside]
    return found


def folders_beside(place: Place, tree: Tree, known: Collection[str], reading: Reading) -> list[Beside]:
    """Return the tables whose rows stand for several images each, a folder of them say; none of those known."""
    names = [
        name
        for name in tree.others
        if name.lower().endswith(ENDINGS) and name.count("/") <= 1 and name not in known and not is_no_data(name)
    ]
    counts = Counter(name.rpartition("/")[0] for name in names)
    found, below = [], Below(tree.images)
    for name in [own for own in names if counts[own.rpartition("/")[0]] <= _MANY]:
        with contextlib.suppress(HardenerError, OSError):
            if not below.is_mentioned(place.read(name, _PEEKED).decode("utf-8-sig", "replace")):
                continue
            table = read_table(f"{place.root}/{name}", place.read(name, _LARGEST))
            several = several_of(table, below, reading, split_of_file(name))
            found += [] if several is None else [_of_several(name, several, reading)]
    return found


def _of_several(name: str, several: Several, reading: Reading) -> Beside:
    rows = [(row, image) for row, images in enumerate(several.images) for image in images]
    labels, choices, fault = _told_by(several.table, several.column, reading)
    return Beside(
        name,
        several.table,
        several.column,
        False,
        [images[0] if images else None for images in several.images],
        {image: labels[row] for row, image in rows},
        choices,
        split_of_file(name),
        fault,
        several.folders,
    )


def _told_by(table: Table, path: str, reading: Reading) -> tuple[list[str], tuple[str, ...], str]:
    """Return the class of each row; or the columns that may hold them; or why they cannot be read."""
    labels = [""] * len(table)
    try:
        return choose(table, reading.model_copy(update={"path_column": path})).labels, (), ""
    except NoColumn:
        return labels, tuple(may_hold_classes(table, _undivided(table, path))), ""
    except HardenerError as error:
        return labels, (), str(error)


def _undivided(table: Table, path: str) -> list[str]:
    return [name for name in table.columns if name != path and not tells_division(table, name, path)]


def _looked_into(name: str, table: Table, find: Lookup, reading: Reading) -> Beside | None:
    """Find the column whose cells name images, and what the table tells of them."""
    split = split_of_file(name)

    def fits(column: str) -> bool:
        cells = table.columns[column]
        some = cells[:: max(1, len(cells) // _TRIED)]
        return sum(find(cell, name, split) is not None for cell in some) >= _ENOUGH * len(some)

    try:
        usual = choose_path(table, reading)
    except HardenerError:
        usual = ""
    order = dict.fromkeys([*([usual] if usual else []), *table.columns])
    path = next((column for column in order if fits(column)), None)
    if path is None:
        return None
    files = [find(cell, name, split) for cell in table.columns[path]]
    labels, choices, fault = _told_by(table, path, reading)
    images = _by_image(files, labels)
    return None if images is None else Beside(name, table, path, path != usual, files, images, choices, split, fault)


def _by_image(files: Sequence[str | None], labels: Sequence[str]) -> dict[str, str] | None:
    """Return the class of each image; None where many have several, as in tables of boxes."""
    images: dict[str, str] = {}
    two = set()
    for file, label in zip(files, labels, strict=True):
        if file is not None and images.setdefault(file, label) != label:
            two.add(file)
    return None if 10 * len(two) > len(images) else images


def ask_the_same(training: Beside, other: Beside) -> bool:
    """Tell whether two tables may be of one question: `genre_val.csv` is none of `artist_train.csv`.

    Those of other names are where all classes of one are classes of the other, and words: numbers prove nothing.
    """
    if training.question == other.question or not training.question or not other.question:
        return True
    if not training.labels or not other.labels:
        return not training.labels and not other.labels
    return other.labels <= training.labels and not any(map(str.isdecimal, other.labels))


def ways_to_take(place: Place, tables: Collection[Beside], reading: Reading) -> str:
    """Return what `to_take` does; where tables are of several questions, the words for each of these."""
    questions = dict.fromkeys(table.question for table in tables)
    training = [table for table in tables if table.split in ("train", None)]
    if "" in questions or all(ask_the_same(one, other) for one in training for other in tables):
        return to_take(place, tables, reading)
    groups = [[table for table in tables if table.question == question] for question in questions]
    return "; or ".join(filter(None, (to_take(place, group, reading) for group in groups)))


def to_take(place: Place, tables: Iterable[Beside], reading: Reading) -> str:
    """Return the words that read images by tables, those of held-out images as such; nothing where none is to train on.

    Nothing that is called like a test is trained on.
    """
    found = sorted(tables, key=lambda table: table.split != "train")
    training = next((table for table in found if table.split in ("train", None)), None)
    if training is None:
        return ""
    taken = [("--data", training)]
    for split, option in _OPTIONS.items():
        fit = [own for own in found if own.split == split and own.images.keys().isdisjoint(training.images)]
        fit = [own for own in fit if ask_the_same(training, own)]
        fit.sort(
            key=lambda own: (
                own.question != training.question,
                own.folder != training.folder,
                own.table.columns.keys() != training.table.columns.keys(),
            )
        )
        taken += [(option, fit[0])] if fit else []
    words = [f"{option} {shlex.quote(f'{place.root}/{own.name}')}" for option, own in taken]
    if any(not image.startswith(f"{own.folder}/") for _, own in taken if own.folder for image in own.images):
        words.append(f"--images-root {shlex.quote(_root(place, training))}")
    if training.guessed:
        words.append(f"--path-column {shlex.quote(training.path)}")
    if training.name.lower().endswith(".json") and list(training.table.columns) == OF_CATEGORIES:
        words.append(f"--label-column {OF_CATEGORIES[1]}")  # else a list of boxes is to be converted
    elif reading.label_column or training.choices:
        words.append(f"--label-column {shlex.quote(reading.label_column or training.choices[0])}")
    packed = "" if os.path.isdir(place.root) else f"{place.root} unpacked and "
    return packed + " ".join(words)


def _root(place: Place, table: Beside) -> str:
    """Return the folder that a table's paths count from: that above the place, where they begin with its own name."""
    cells = zip(table.table.columns[table.path], table.files, strict=True)
    cell, file = next(((cell, file) for cell, file in cells if file is not None), ("", ""))
    start = cell.removesuffix(file).strip("/") if file and cell.endswith(file) else ""
    whole = os.path.abspath(place.root)
    if start and whole.endswith(f"/{start}"):
        return os.path.normpath(os.path.join(place.root, *[".."] * (start.count("/") + 1)))
    return str(place.root)
