"""Tiny-ImageNet as it is handed out: train/nXXXXXXXX/images/, and val/images/ with val_annotations.txt."""

from __future__ import annotations

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.layouts._listed import bring_listed, numbered
from hardener.data.place import Place
from hardener.data.tables.content import lines_of
from hardener.data.tree import Tree

_LIST = "val_annotations.txt"


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return training and validation images; None where there is no val_annotations.txt beside such folders.

    Raises:
        HardenerError: the list lacks images.
    """
    lists = [name for name in tree.others if name.rpartition("/")[2] == _LIST]
    found = numbered(tree) if len(lists) == 1 else None
    if found is None or "validation" not in found.flat:
        return None
    truth = {}
    for line in lines_of(place.read(lists[0]).decode("utf-8-sig", "replace")):
        cells = line.split()
        if len(cells) > 1:
            truth[cells[0].rpartition(".")[0]] = cells[1]
    return bring_listed(place, tree, found, truth, lists[0])
