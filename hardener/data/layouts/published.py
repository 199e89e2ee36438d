"""Data sets whose classes or splits stand in files of their own: Oxford Pets, Flowers-102, Stanford Cars and Dogs,
FGVC-Aircraft, GTSRB. Each as it is handed out."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardener.config.data_findings import left_out
from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.matlab import Variables, variables
from hardener.data.place import Place
from hardener.data.tables.content import lines_of
from hardener.data.tree import OTHER, Tree
from hardener.errors import HardenerError
from hardener.words import one_line

_PET = re.compile(r"(?P<name>(?P<label>\S+)_\d+) \d+ [12] \d+")
_FLOWER = re.compile(r"image_(\d{5})\.jpg")
_LEVELS = ("variant", "family", "manufacturer")


@dataclass(frozen=True)
class _Told:
    """For each split, (image, class), the image by the last parts of its path; and the files that tell it."""

    rows: Mapping[SplitName, Sequence[tuple[str, str]]]
    by: tuple[str, ...]
    doubts: tuple[str, ...] = ()


class _Files:
    """Files of a tree, by the last parts of their paths."""

    def __init__(self, place: Place, tree: Tree) -> None:
        self.place, self.images = place, tree.images
        self._others = {name.rpartition("/")[2]: name for name in tree.others}

    def has(self, *names: str) -> bool:
        return all(name in self._others for name in names)

    def where(self, name: str) -> str:
        return self._others[name]

    def lines(self, name: str) -> list[str]:
        text = self.place.read(self._others[name]).decode("utf-8-sig", "replace")
        return [line.strip() for line in lines_of(text) if line.strip()]

    def matlab(self, *names: str) -> list[Variables]:
        own = [self._others[name] for name in names]
        found = variables({f"{self.place.root}/{name}": self.place.read(name) for name in own})
        return list(found.values())

    def table(self, name: str) -> list[dict[str, str]]:
        lines = self.lines(name)
        divided = csv.DictReader(io.StringIO("\n".join(lines)), delimiter=";" if ";" in lines[0] else ",")
        return [{key: cell or "" for key, cell in row.items() if key} for row in divided] if lines else []


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return the images of each split; None where no such files lie there.

    Raises:
        HardenerError: a file that tells classes cannot be read, or is of a form that is not.
    """
    files = _Files(place, tree)
    told = next((known for know in _KNOWN if (known := _asked(know, files)) is not None), None)
    if told is None or not told.rows.get("train"):
        return None
    by_end = {"/".join(image.split("/")[-parts:]): image for parts in (3, 2, 1) for image in files.images}
    by = ", ".join(told.by)
    groups: dict[SplitName | None, Group] = {}
    missing: list[str] = []
    for split, rows in told.rows.items():
        found = [(by_end[end], label) for end, label in rows if end in by_end]
        missing += [end for end, _ in rows if end not in by_end]
        if found:
            groups[split] = place.group("", [path for path, _ in found], [label for _, label in found], source=by)
    if "train" not in groups:
        return None
    doubts = list(told.doubts)
    if missing:
        doubts.append(f"{len(missing):,} images that {by} names are not there, such as {missing[0]}")
    used = {path for group in groups.values() for path in group.paths}
    spare = [fact for fact in tree.facts() if fact.reason != OTHER]
    rest = (
        left_out(OTHER, [name for name in tree.others if name not in told.by]),
        left_out("images that no list names", [name for name in tree.images if name not in used]),
    )
    labels = {name for group in groups.values() for name in group.classes}
    return Brought(
        groups,
        classes=tuple(sorted(labels, key=int)) if all(map(str.isdecimal, labels)) else None,
        notes=(f"classes and splits were read from {by}",),
        doubts=tuple(doubts),
        left_out=(*spare, *(fact for fact in rest if fact is not None)),
    )


def _asked(know: Callable[[_Files], _Told | None], files: _Files) -> _Told | None:
    """Ask one of the readers below.

    Raises:
        HardenerError: its files are there and hold something else.
    """
    try:
        return know(files)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        name, file = _KNOWN[know]
        raise HardenerError(
            f"{files.place.root} has the files of {name}, and they hold something else ({type(error).__name__}: "
            f"{one_line(str(error))[:60]}). Fetch them again, or read the images without: --ignore {shlex.quote(file)}."
        ) from None


def _pets(files: _Files) -> _Told | None:
    """Read lines such as `Abyssinian_100 1 1 1`; a name begins with its class."""
    lists: dict[SplitName, str] = {"train": "trainval.txt", "test": "test.txt"}
    if not files.has(*lists.values()):
        return None
    rows: dict[SplitName, list[tuple[str, str]]] = {}
    for split, name in lists.items():
        found = [_PET.fullmatch(line) for line in files.lines(name)]
        rows[split] = [(f"images/{one['name']}.jpg", one["label"]) for one in found if one is not None]
        if not rows[split] or None in found:
            return None
    return _Told(rows, tuple(map(files.where, lists.values())))


def _flowers(files: _Files) -> _Told | None:
    """Read numbers: image k has the class labels[k - 1]; three lists of k are the splits."""
    if not files.has("imagelabels.mat", "setid.mat"):
        return None
    numbered = [name.rpartition("/")[2] for name in files.images]
    images = {int(found[1]): name for name in numbered if (found := _FLOWER.fullmatch(name))}
    labels, splits = files.matlab("imagelabels.mat", "setid.mat")
    names: dict[SplitName, str] = {"train": "trnid", "validation": "valid", "test": "tstid"}
    if not images:
        return None
    told = {k: str(int(label)) for k, label in enumerate(np.ravel(labels["labels"]).tolist(), 1)}
    rows: dict[SplitName, list[tuple[str, str]]] = {
        split: [(f"image_{k:05}.jpg", told[k]) for k in np.ravel(splits[own]).tolist() if k in told]
        for split, own in names.items()
    }
    return _Told(rows, (files.where("imagelabels.mat"), files.where("setid.mat")))


def _cars(files: _Files) -> _Told | None:
    """Read the devkit's boxes: each names a file and a class, which `cars_meta.mat` gives a name."""
    training, testing, meta = "cars_train_annos.mat", "cars_test_annos_withlabels.mat", "cars_meta.mat"
    if not files.has(training):
        return None
    names = [name for name in (training, testing, meta) if files.has(name)]
    told = dict(zip(names, files.matlab(*names), strict=True))
    named = np.ravel(told[meta]["class_names"]).tolist() if meta in told else None

    def rows(name: str, folder: str) -> Iterator[tuple[str, str]]:
        columns = (np.ravel(told[name][f"annotations.{field}"]).tolist() for field in ("fname", "class"))
        for file, number in zip(*columns, strict=True):
            yield f"{folder}/{file}", str(int(number)) if named is None else str(named[int(number) - 1])

    found: dict[SplitName, list[tuple[str, str]]] = {"train": list(rows(training, "cars_train"))}
    doubts: tuple[str, ...] = ()
    if files.has(testing):
        found["test"] = list(rows(testing, "cars_test"))
    else:
        doubts = (f"cars_test/ is read with {testing} beside it: without, a test split is not there",)
    return _Told(found, tuple(map(files.where, names)), doubts)


def _dogs(files: _Files) -> _Told | None:
    """Read lists of files; their folders are the classes."""
    lists: dict[SplitName, str] = {"train": "train_list.mat", "test": "test_list.mat"}
    if not files.has(*lists.values()):
        return None
    rows: dict[SplitName, list[tuple[str, str]]] = {}
    for split, told in zip(lists, files.matlab(*lists.values()), strict=True):
        rows[split] = [(str(path), str(path).rpartition("/")[0]) for path in np.ravel(told["file_list"]).tolist()]
    return _Told(rows, tuple(map(files.where, lists.values())))


def _aircraft(files: _Files) -> _Told | None:
    """Read lines such as `1025794 707-320`, of the finest of three levels of classes that is there."""
    splits: dict[SplitName, str] = {"train": "train", "validation": "val", "test": "test"}
    for level in _LEVELS:
        names = {split: f"images_{level}_{own}.txt" for split, own in splits.items()}
        if files.has(*names.values()):
            rows: dict[SplitName, list[tuple[str, str]]] = {
                split: [(f"{line.partition(' ')[0]}.jpg", line.partition(" ")[2]) for line in files.lines(name)]
                for split, name in names.items()
            }
            return _Told(rows, tuple(map(files.where, names.values())))
    return None


def _signs(files: _Files) -> _Told | None:
    """Read GTSRB: its archives, where a table tells the classes of the test; or Kaggle's two tables of paths."""
    if files.has("GT-final_test.csv"):
        table = files.table("GT-final_test.csv")
        test = [(f"Images/{row.get('Filename')}", f"{int(row['ClassId']):05}") for row in table if "ClassId" in row]
        ways = [name.split("/") for name in files.images if "Final_Training/Images/" in name]
        train = [("/".join(way[-3:]), way[-2]) for way in ways]
        return _Told({"train": train, "test": test}, (files.where("GT-final_test.csv"),)) if test else None
    if not files.has("Train.csv", "Test.csv"):
        return None
    rows: dict[SplitName, list[tuple[str, str]]] = {}
    lists: dict[SplitName, str] = {"train": "Train.csv", "test": "Test.csv"}
    for split, name in lists.items():
        table = files.table(name)
        if not table or not {"ClassId", "Path"} <= set(table[0]):
            return None
        rows[split] = [(row["Path"], row["ClassId"]) for row in table]
    return _Told(rows, (files.where("Train.csv"), files.where("Test.csv")))


def _house_numbers(files: _Files) -> None:
    """Refuse SVHN's photographs: each shows several digits.

    Raises:
        HardenerError: they are these.
    """
    if files.has("digitStruct.mat"):
        raise HardenerError(
            f"{files.where('digitStruct.mat')} tells boxes of several digits on each photograph, and an image has one "
            "class here. Take the cropped digits, train_32x32.mat and test_32x32.mat, and pass their folder."
        )


_KNOWN: dict[Callable[[_Files], _Told | None], tuple[str, str]] = {
    _house_numbers: ("SVHN", "digitStruct.mat"),
    _pets: ("Oxford Pets", "trainval.txt"),
    _flowers: ("Flowers-102", "imagelabels.mat"),
    _cars: ("Stanford Cars", "cars_train_annos.mat"),
    _dogs: ("Stanford Dogs", "train_list.mat"),
    _aircraft: ("FGVC-Aircraft", "images_*.txt"),
    _signs: ("GTSRB", "*est.csv"),
}
"""What reads a set -> what it is called, and the file without which it is not taken for that."""
