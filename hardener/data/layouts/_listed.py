"""Training images in folders of WordNet's numbers, and others that lie flat, with a list of their classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hardener.config.data_findings import left_out
from hardener.config.reading import ignoring
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.place import Place
from hardener.data.split_names import own_name, split_of
from hardener.data.tree import OTHER, Tree
from hardener.errors import HardenerError

_NUMBER = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Numbered:
    """Where the training images lie, and the flat folders beside them: split -> folder and its images."""

    train: str
    flat: Mapping[SplitName, tuple[str, list[str]]]


def numbered(tree: Tree) -> Numbered | None:
    """Find `train/nXXXXXXXX` and images in `val/`, `val/images/` or `test/` beside; None where it is not so."""
    folders = {name.rpartition("/")[0] for name in tree.images}
    ways = [folder.split("/") for folder in folders]
    trains = {
        "/".join(parts[:place])
        for parts in ways
        for place, part in enumerate(parts)
        if place and _NUMBER.fullmatch(part) and split_of(parts[place - 1]) == "train"
    }
    if len(trains) != 1:
        return None
    (train,) = trains
    beside = train.rpartition("/")[0]
    start = f"{beside}/" if beside else ""
    flat: dict[SplitName, tuple[str, list[str]]] = {}
    for folder in sorted(folders):
        own = folder.removeprefix(start).removesuffix("/images")
        split = None if "/" in own or not folder.startswith(start) else split_of(own)
        if split in ("validation", "test") and split is not None:
            flat[split] = (f"{start}{own}", [name for name in tree.images if name.rpartition("/")[0] == folder])
    return Numbered(train, flat) if flat else None


def bring_listed(place: Place, tree: Tree, found: Numbered, truth: Mapping[str, str], told_by: str) -> Brought:
    """Return training images by their folders, and validation images by a list.

    Args:
        truth: the file's name, without its extension, -> its class; empty where there is no list.
        told_by: the list, as messages call it.
    Raises:
        HardenerError: the list names less than all images of the folder.
    """
    groups: dict[SplitName | None, Group] = {}
    start = len(found.train) + 1
    inner = [name[start:] for name in tree.images if name.startswith(f"{found.train}/") and "/" in name[start:]]
    inner.sort(key=lambda name: name.partition("/")[::2])
    groups["train"] = place.group(
        found.train, inner, [name.partition("/")[0] for name in inner], source=f"{found.train}/"
    )
    doubts, unlabelled = [], []
    for split, (folder, names) in found.flat.items():
        if split == "validation" and truth:
            groups[split] = _validation(place, folder, names, truth, told_by)
        else:
            unlabelled += names
            doubts.append(f"{folder}/ has {len(names):,} images without a class: it is left out")
    lists = {told_by} if told_by else set()
    spare = [fact for fact in tree.facts() if fact.reason != OTHER]
    spare += [fact for fact in (left_out(OTHER, [n for n in tree.others if n not in lists]),) if fact is not None]
    spare += [fact for fact in (left_out("images without a class", unlabelled),) if fact is not None]
    notes = (f"the classes of {found.flat['validation'][0]}/ were read from {told_by}",) if truth else ()
    return Brought(groups, notes=notes, doubts=tuple(doubts), left_out=tuple(spare))


def _validation(place: Place, folder: str, names: list[str], truth: Mapping[str, str], told_by: str) -> Group:
    start = len(folder) + 1
    labels = [truth.get(own_name(name)) for name in names]
    missing = [name for name, label in zip(names, labels, strict=True) if label is None]
    if missing:
        raise HardenerError(
            f"{place.root}/{told_by} tells no class of {len(missing):,} images in {folder}/, such as {missing[0]}. "
            f"Take the list that belongs to them, or pass {ignoring([told_by])} to leave "
            f"{folder}/ out."
        )
    inside = [name[start:] for name in names]
    return place.group(folder, inside, [str(label) for label in labels], source=f"{folder}/, by {told_by}")
