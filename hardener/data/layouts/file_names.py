"""Files whose names tell their class: cat.0.jpg, n01_cat.jpg. The pattern is the user's: `--label-from`."""

from __future__ import annotations

import shlex

from hardener.config.data_findings import left_out
from hardener.config.reading import Reading
from hardener.data.brought import Brought, SplitName
from hardener.data.layouts._division import divided_by_lists
from hardener.data.layouts._pattern import HELP, compiled, folders_in, matched
from hardener.data.place import Place
from hardener.data.split_names import looks_like_split, looks_unlabelled, split_of, splits_of_folders
from hardener.data.tree import Tree
from hardener.errors import HardenerError

_REASON = "images whose name does not fit --label-from"
_PARTS = "images in folders that may be other parts of a divided set"


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return images by what their names tell; None where the user gave no pattern.

    Raises:
        HardenerError: the pattern cannot be read, or no name fits it.
    """
    if reading.label_from is None:
        return None
    pattern = compiled(reading.label_from)
    members: dict[SplitName | None, dict[str, str]] = {}
    parts: dict[str, str] = {}
    spare: list[str] = []
    unlabelled: list[str] = []
    depth = folders_in(reading.label_from)
    of_folder = splits_of_folders(tree.images)
    for name in tree.images:
        found = matched(pattern, name, depth)
        folders = name.split("/")[:-1]
        told = found["split"] if found is not None and "split" in pattern.groupindex else None
        split = split_of(told) if told else of_folder["/".join(folders)]
        if found is None:
            (unlabelled if any(map(looks_unlabelled, folders)) or split == "test" else spare).append(name)
        else:
            unclear = split is None and any(map(looks_like_split, folders))
            (parts if unclear else members.setdefault(split, {}))[name] = found["label"]
    if parts and "train" not in members and None not in members:
        members.setdefault(None, {}).update(parts)
        parts = {}
    if not members:
        raise HardenerError(
            f"no image below {place.root} has a name that fits --label-from {shlex.quote(reading.label_from)}, such as "
            f"{', '.join(tree.images[:3]) or 'none at all'}. {HELP}"
        )
    if None in members and len(members) > 1:  # what lies in no folder of a split is what there is to train on
        members["train"] = members.get("train", {}) | members.pop(None)
    groups = {split: place.group("", list(found), list(found.values())) for split, found in members.items()}
    count = len({label for found in members.values() for label in found.values()})
    left = [*tree.facts(), left_out(_REASON, spare), left_out("images without a class", unlabelled)]
    left.append(left_out(_PARTS, list(parts)))
    doubts = [f"{len(spare)} {_REASON}, such as {spare[0]}: they are left out"] if spare else []
    doubts += [f"{len(parts)} {_PARTS}, such as {next(iter(parts))}: they are left out"] if parts else []
    brought = Brought(
        groups,
        notes=(f"classes from the names of files, by {reading.label_from}: {count}",),
        doubts=tuple(doubts),
        left_out=tuple(fact for fact in left if fact is not None),
    )
    return divided_by_lists(brought, place, tree, (), reading)
