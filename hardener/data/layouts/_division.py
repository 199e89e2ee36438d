"""Images that a table or their names tell the classes of, and lists beside that tell their splits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from hardener.config.data_findings import LeftOut, left_out
from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.layouts._lookup import Lookup
from hardener.data.layouts._split_rows import Told, told_splits
from hardener.data.layouts.split_lists import GONE, ORDER, ROWS_NAMED, Splits, settled, source_of_split, without
from hardener.data.place import Place
from hardener.data.split_names import splits_of_names
from hardener.data.tree import OTHER, Tree
from hardener.data.unclear.untaken import doubts_about_splits
from hardener.errors import HardenerError

_TRIED = 100
_NEARLY_ALL = 0.9
"""The share of the images that lists name, to be about them whatever else they name."""


def divided_by_lists(brought: Brought, place: Place, tree: Tree, taken: Collection[str], reading: Reading) -> Brought:
    """Divide images by lists beside them, where nothing divides them yet; with a doubt where files seem to and do not.

    Args:
        brought: their names count from the place.
        tree: whose other files may be such lists.
        taken: files that tell the classes.
    Raises:
        HardenerError: lists contradict each other, or hold out classes that nothing is trained on.
    """
    if None not in brought.splits:
        return brought
    group = brought.splits[None]
    others = [name for name in tree.others if name not in taken]
    found = None
    if len(brought.splits) == 1:
        own = replace(tree, images=list(group.paths), others=others)
        found = _first(place, own, [*tree.images, *group.paths], reading)
    if found is None:
        doubts = [] if _names_divide(group) else doubts_about_splits(place, tree, taken, group.paths)
        return divided_by_names(replace(brought, doubts=(*brought.doubts, *doubts)))
    told, splits = found
    rest = [name for name in group.paths if name not in splits]
    notes = [f"the splits were read from {', '.join(told.files)}{told.note}"]
    doubts = []
    if "train" not in splits.values():
        splits |= dict.fromkeys(rest, "train")
        notes += [f"no list names images to train on: the {len(rest)} that none names are taken"] if rest else []
        rest = []
    if len(rest) > GONE * len(group):
        doubts.append(f"{len(rest)} of {len(group)} images stand in no list of a split: they are left out")
    groups = _groups(group, splits, partial(source_of_split, told))
    _refuse_other_classes(groups, place, tree, told)
    unnamed = left_out("images that no list of a split names", rest)
    return replace(
        brought,
        splits=groups,
        notes=(*brought.notes, *notes),
        doubts=(*brought.doubts, *doubts),
        left_out=(*_without(brought.left_out), *([unnamed] if unnamed else [])),
    )


def divided_by_names(brought: Brought) -> Brought:
    """Divide images by their names where nothing else does and all of them tell it: train_001.jpg, test_001.jpg."""
    if set(brought.splits) != {None} or not _names_divide(group := brought.splits[None]):
        return brought
    told = splits_of_names(group.paths)
    shown = ", ".join(f"{len(told[split])} {split}" for split in ORDER if split in told)
    groups = _groups(
        group,
        {name: split for split, names in told.items() for name in names},
        lambda split: f"{group.source or '.'}, by the names of its images",
    )
    return replace(brought, splits=groups, notes=(*brought.notes, f"the names of the images tell the splits ({shown})"))


def _names_divide(group: Group) -> bool:
    """Tell whether the names of all images tell splits, and nothing is held out whose class is not trained on."""
    few = group.paths[:: max(1, len(group.paths) // _TRIED)]
    if sum(map(len, splits_of_names(few).values())) < len(few):
        return False
    told = splits_of_names(group.paths)
    if "train" not in told or len(told) < 2 or sum(map(len, told.values())) < len(group.paths):
        return False
    training = set(told["train"])
    return group.classes == {label for path, label in zip(group.paths, group.names, strict=True) if path in training}


def _without(facts: Sequence[LeftOut]) -> list[LeftOut]:
    return [fact for fact in facts if fact.reason != OTHER]


def _first(place: Place, tree: Tree, every: Sequence[str], reading: Reading) -> tuple[Told, Splits] | None:
    """Return the first lists that divide the tree's images, and the split of each that they name.

    Args:
        every: all images there are: a list of `test/1.jpg` is not about `train/1.jpg`.
    """
    find, known = None, set(tree.images)
    for told in told_splits(place, tree, reading):
        find = find or Lookup(dict.fromkeys(every))
        rows = [(row, find(row.line, row.file, row.split)) for row in told.rows]
        named = [(row, name) for row, name in rows if name in known]
        images = {name for _, name in named}
        if not images or (len(named) < ROWS_NAMED * len(rows) and len(images) < _NEARLY_ALL * len(tree.images)):
            continue
        splits = settled(place, tree, told, named)
        if len(set(splits.values())) > 1 or len(splits) < _NEARLY_ALL * len(tree.images):  # else it divides nothing
            return told, splits
    return None


def _groups(group: Group, splits: Splits, source: Callable[[SplitName], str]) -> dict[SplitName | None, Group]:
    names, together = list(group.names), group.together
    places: dict[SplitName, list[int]] = {}
    for place, path in enumerate(group.paths):
        if path in splits:
            places.setdefault(splits[path], []).append(place)
    return {
        split: replace(
            group,
            paths=tuple(group.paths[place] for place in places[split]),
            names=tuple(names[place] for place in places[split]),
            source=source(split),
            together=None if together is None else [together[place] for place in places[split]],
        )
        for split in ORDER
        if split in places
    }


def _refuse_other_classes(groups: dict[SplitName | None, Group], place: Place, tree: Tree, told: Told) -> None:
    """See that what is held out has no class that is not trained on: persons, whom CelebA's partition keeps apart.

    Raises:
        HardenerError: it has.
    """
    known = groups["train"].classes if "train" in groups else frozenset()
    for split, group in groups.items():
        if extra := sorted(group.classes - known):
            raise HardenerError(
                f"{', '.join(told.files)} below {place.root} holds out classes that nothing is trained on, such as "
                f"{extra[0]} of {split}: {len(extra)} in all. Pass {without(tree, told.files)} to divide the images of "
                "each class instead."
            )
