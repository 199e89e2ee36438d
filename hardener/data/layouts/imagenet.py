"""ImageNet (ILSVRC) as it is handed out: train/nXXXXXXXX/, and val/ whose classes stand in a file of their own."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hardener.config.reading import Reading, ignoring
from hardener.data.brought import Brought
from hardener.data.layouts._listed import Numbered, bring_listed, numbered
from hardener.data.matlab import variables
from hardener.data.place import Place
from hardener.data.split_names import own_name
from hardener.data.tables.content import lines_of
from hardener.data.tree import Tree
from hardener.errors import HardenerError

_TRUTH = re.compile(r"ILSVRC20\d\d(?:_clsloc)?_validation_ground_truth\.txt")
_WNID = re.compile(r"n\d{8}")
_NAME = re.compile(rb"<object>.*?<name>\s*(n\d{8})\s*</name>", re.S)
_WAYS = (
    "LOC_val_solution.csv, val.txt with a class each line, Annotations/CLS-LOC/val/, or "
    "ILSVRC2012_validation_ground_truth.txt with map_clsloc.txt or meta.mat"
)


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return training and validation images; None where validation images have class folders, or none lie flat.

    Raises:
        HardenerError: the file of ground truth cannot be read, or does not belong to the images.
    """
    found = numbered(tree)
    if found is None:
        return None
    by_name = {name.rpartition("/")[2]: name for name in tree.others}
    truths = [name for name in by_name if _TRUTH.fullmatch(name)]
    truth: dict[str, str] = {}
    told = ""
    if "validation" in found.flat:
        if "LOC_val_solution.csv" in by_name:
            told = by_name["LOC_val_solution.csv"]
            truth = _solution(place.read(told))
        elif truths:
            told = by_name[truths[0]]
            truth = _by_number(place, told, by_name, found)
        elif "val.txt" in by_name and (truth := _listing(place, by_name["val.txt"], tree, found)):
            told = by_name["val.txt"]
        elif annotations := _annotations(tree, found):
            told = f"{annotations[0].rpartition('/')[0]}/"
            truth = _annotated(place, annotations)
    brought = bring_listed(place, tree, found, truth, told)
    if "validation" in found.flat and not truth:
        folder = found.flat["validation"][0]
        return replace(brought, doubts=(*brought.doubts, f"{folder}/ is read with the file of its classes: {_WAYS}"))
    return brought


def _solution(data: bytes) -> dict[str, str]:
    """Read Kaggle's list: an image, and its class before the corners of its box."""
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
    return {row[0]: row[1].split()[0] for row in rows if len(row) > 1 and _WNID.match(row[1])}


def _listing(place: Place, name: str, tree: Tree, found: Numbered) -> dict[str, str]:
    """Read lines such as `ILSVRC2012_val_00000001.JPEG 65`: the place of the class in the order of their names.

    ILSVRC's own ImageSets/CLS-LOC/val.txt numbers the images from 1 on, and tells no class: nothing is read of it.
    """
    classes = _classes(tree, found)
    truth: dict[str, str] = {}
    rows = [line.split() for line in lines_of(place.read(name).decode("utf-8-sig", "replace"))]
    rows = [cells for cells in rows if len(cells) == 2]
    if [cells[1] for cells in rows] == [str(number) for number in range(1, len(rows) + 1)]:
        return truth
    for cells in rows:
        own = own_name(cells[0])
        if _WNID.fullmatch(cells[1]):
            truth[own] = cells[1]
        elif cells[1].isdecimal() and int(cells[1]) < len(classes):
            truth[own] = classes[int(cells[1])]
    return truth


def _by_number(place: Place, name: str, by_name: dict[str, str], found: Numbered) -> dict[str, str]:
    """Read a number a line, in the order of the images; the devkit tells which class each number is.

    Raises:
        HardenerError: the devkit's table is not there, or the lines are not as many as the images.
    """
    lines = place.read(name).decode("ascii", "replace").split()
    folder, images = found.flat["validation"]
    if len(lines) != len(images):
        raise HardenerError(
            f"{place.root}/{name} has {len(lines):,} lines, and {folder}/ {len(images):,} images. Take the list that "
            f"belongs to them, or pass {ignoring([name])} to leave {folder}/ out."
        )
    if "map_clsloc.txt" in by_name:
        cells = [
            line.split() for line in lines_of(place.read(by_name["map_clsloc.txt"]).decode("utf-8-sig")) if line.strip()
        ]
        numbers = {row[1]: row[0] for row in cells if len(row) > 1}
    elif "meta.mat" in by_name:
        numbers = _meta(f"{place.root}/{by_name['meta.mat']}", place.read(by_name["meta.mat"]))
    else:
        raise HardenerError(
            f"{place.root}/{name} tells classes by the devkit's numbers. Put map_clsloc.txt or meta.mat of the devkit "
            "beside it."
        )
    unknown = sorted({line for line in lines if line not in numbers})
    if unknown:
        raise HardenerError(f"{place.root}/{name} has numbers that the devkit does not know: {', '.join(unknown[:3])}.")
    return {own_name(image): numbers[line] for image, line in zip(sorted(images), lines, strict=True)}


def _meta(shown: str, data: bytes) -> dict[str, str]:
    (told,) = variables({shown: data}).values()
    numbers, names = (told.get(f"synsets.{field}", np.zeros(0)).tolist() for field in ("ILSVRC2012_ID", "WNID"))
    return {str(int(number)): str(name) for number, name in zip(numbers, names, strict=False)}


def _annotations(tree: Tree, found: Numbered) -> list[str]:
    """Return the XML files that tell of the validation images: Annotations/CLS-LOC/val/, a file an image."""
    stems = {own_name(name) for name in found.flat["validation"][1]}
    files = [name for name in tree.others if name.endswith(".xml")]
    return [name for name in files if name.rpartition("/")[2].removesuffix(".xml") in stems]


def _annotated(place: Place, names: Sequence[str]) -> dict[str, str]:
    """Read the class of the first object of each annotation; of one that tells none nothing."""
    truth = {}
    for name in names:
        told = _NAME.search(place.read(name))
        if told is not None:
            truth[name.rpartition("/")[2].removesuffix(".xml")] = told[1].decode("ascii")
    return truth


def _classes(tree: Tree, found: Numbered) -> list[str]:
    start = len(found.train) + 1
    return sorted({name[start:].partition("/")[0] for name in tree.images if name.startswith(f"{found.train}/")})
