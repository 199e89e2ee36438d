"""Names of files and folders -> splits and classes. It opens nothing, so it serves folders and archives alike.

A name is taken for what the tree shows: `train` is a split where class folders lie below it, and a class where it
holds images like its neighbours. Where the tree can be read in two ways, the user chooses.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hardener.config.reading import Reading, ignoring
from hardener.data.ambiguity import (
    by_names,
    doubts_about_drawn_folders,
    doubts_about_masks,
    empty_classes,
    lists_of_splits,
    refuse_flat,
    refuse_one_folder,
    refuse_unclear,
    some,
    told_beside,
)
from hardener.data.brought import SplitName
from hardener.data.node import Node, grow
from hardener.data.split_names import (
    assign,
    looks_like_split,
    looks_unlabelled,
    own_name,
    says_nothing,
    split_of,
    without_shared,
)
from hardener.data.tree import Tree
from hardener.data.unclear.copies import doubts_about_forms, refuse_copies
from hardener.data.unclear.crossed import doubts_about_counted
from hardener.data.unclear.divided import parts_of_one_set, told_part, told_sets
from hardener.data.unclear.ids import doubts_about_ids, refuse_ids
from hardener.data.unclear.leftover import doubts_about_leftovers, refuse_flat_splits, refuse_leftovers
from hardener.data.unclear.repeated import begins_with, doubts_about_codes, doubts_about_levels, refuse_repeated
from hardener.data.unclear.twins import doubts_about_twins
from hardener.data.unclear.untaken import is_no_data
from hardener.errors import HardenerError

UNLABELLED = "images in no class folder"
_CLUTTER = {"BACKGROUND_Google", "257.clutter"}


@dataclass
class Layout:
    """What was read from names.

    Attributes:
        base: for each split, the folder that its class folders lie in.
        members: for each split, (image, class), the image's name counted from the base.
        empty: for each split, class folders without images.
        notes, doubts: see `Brought`.
    """

    base: dict[SplitName | None, str] = field(default_factory=dict)
    members: dict[SplitName | None, list[tuple[str, str]]] = field(default_factory=dict)
    empty: dict[SplitName | None, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def classes(self) -> dict[str, str]:
        """Return the class of each image, by its name from the root."""
        starts = {split: f"{base}/" if base else "" for split, base in self.base.items()}
        return {starts[split] + name: label for split, own in self.members.items() for name, label in own}


def read_layout(tree: Tree, shown: str, reading: Reading) -> Layout:
    """Find splits and classes.

    Args:
        tree: what is left out is noted in it.
        shown: what messages call the root.
    Raises:
        HardenerError: no images or class folders; or a layout that can be read in more than one way.
    """
    layout = Layout()
    layout.doubts += doubts_about_masks(tree)
    root = _descend(grow(tree), shown, tree, layout, keep=())
    splits = _split_folders(root, shown, reading, tree, layout)
    if not splits:
        _read_classes(root, None, shown, reading, tree, layout)
        return layout
    known: tuple[str, ...] = ()
    for split in sorted(splits, key=lambda split: split != "train"):
        node = _descend(splits[split], shown, tree, layout, keep=known)
        if not node.filled() and node.own:
            _leave_unlabelled(node.images(), tree)
            told = _told_by(split, node, shown, tree)
            layout.doubts.append(f"{node.path}/ has {node.count} images and no class folders: it is left out{told}")
            continue
        _read_classes(node, split, f"{shown}/{node.path}", reading, tree, layout)
        if split == "train":
            known = tuple(node.filled())
    if not layout.members:
        name = splits[min(splits, key=lambda split: split != "train")].path
        raise HardenerError(
            f"{shown} has images and no class folders. Put each class in its own folder: {shown}/{name}/cat/001.jpg."
            + by_names(tree.images)
            + told_beside(tree)
        )
    return layout


def _told_by(split: SplitName, node: Node, shown: str, tree: Tree) -> str:
    """Name the table that may tell the classes of images that lie flat in a split."""
    option = {"validation": "--val", "test": "--test"}.get(split)
    tables = [
        name for name in tree.others if name.lower().endswith((".csv", ".tsv", ".jsonl")) and not is_no_data(name)
    ]
    parts = {name: re.split(r"[\W_]+", name.rpartition("/")[2].partition(".")[0]) for name in tables}
    found = [name for name in tables if name.startswith(f"{node.path}/") or any(map(_is(split), parts[name]))]
    return f". {found[0]} may tell them: pass {option} {shlex.quote(f'{shown}/{found[0]}')}" if found and option else ""


def _is(split: SplitName) -> Callable[[str], bool]:
    return lambda word: split_of(word) == split


def _descend(node: Node, shown: str, tree: Tree, layout: Layout, *, keep: Sequence[str]) -> Node:
    """Go through folders that hold one folder and nothing else; say so.

    Args:
        keep: names that are classes elsewhere, and no wrapping.
    """
    start, inner = node, node
    while len(inner.filled()) == 1:
        (name, child), *_ = inner.filled().items()
        if name in keep or (split_of(name) and inner is start and not inner.path):
            break
        if not child.filled():
            if inner.path and says_nothing(name):  # test/test/1.jpg, test/images/1.jpg: no class
                node = child
            break
        inner = child
        if len(inner.filled()) > 1 or any(split_of(below) or below in keep for below in inner.filled()):
            node = inner
            break
    if node is not start:
        outside = [name for name in start.images() if not name.startswith(node.path + "/")]
        _leave_unlabelled(outside, tree)
        layout.notes.append(f"{node.path}/ was taken: {start.path or shown} holds no other folder with images")
    return node


def _split_folders(root: Node, shown: str, reading: Reading, tree: Tree, layout: Layout) -> dict[SplitName, Node]:
    """Return the folders of splits; none where the folders are classes.

    Raises:
        HardenerError: split folders beside others, or two of one split.
    """
    filled = root.filled()
    short = {**without_shared(filled), **parts_of_one_set(filled)}
    named = {name for name in filled if split_of(short[name])}
    others = {name: node for name, node in filled.items() if name not in named}
    if not named:
        return {}
    here = f"{shown}/{root.path}" if root.path else shown
    flat = all(node.is_leaf for node in filled.values())
    if flat and not all(looks_unlabelled(name) or looks_like_split(name) for name in others):
        if reading.class_depth is None:
            if (told := told_part(sorted(named), others, here)) is not None:
                raise HardenerError(told)
            refuse_flat_splits({name: short[name] for name in named}, filled, here)
        taken = "is taken for a class" if len(named) == 1 else "are taken for classes"
        leave = f"; {ignoring(sorted(named))} leaves {'it' if len(named) == 1 else 'them'} out"
        layout.doubts.append(f"{some(named)} {taken}, like the folders beside: {some(others)}{leave}")
        return {}
    spare = [name for name, node in others.items() if looks_unlabelled(name)]
    mixed = [name for name in others if name not in spare]
    if mixed:
        ignore = ignoring(mixed)
        if "train" not in map(split_of, (short[name] for name in named)):
            divided = next((name for name in mixed if others[name].filled()), None)
            useful = [name for name in sorted(named) if divided is None or _has_classes(filled[name])]
            way = _each_by_name(here, divided, {name: short[name] for name in useful})
            raise HardenerError(
                f"{here} has split folders ({some(named)}), none of them of train, beside other folders with images "
                f"({some(mixed)}).{lists_of_splits(tree, shown)} Name what is trained on: {way}."
            )
        raise HardenerError(
            f"{here} has split folders ({some(named)}) beside other folders with images ({some(mixed)}). Put the "
            f"classes into the splits; or pass {ignore} to leave them out."
            + (by_names([name for split in named for name in filled[split].images()]) if flat else "")
        )
    for name in spare:
        _leave_unlabelled(others[name].images(), tree)
        layout.doubts.append(f"{others[name].path}/ has {others[name].count} images without a class: it is left out")
    if root.own:
        _leave_unlabelled(root.own, tree)
    assigned = assign({name: short[name] for name in named})
    for split, names in assigned.items():
        if len(names) > 1:
            raise HardenerError(
                f"{shown} has {len(names)} folders that look like the {split} split: {some(names)}. Rename one, or "
                f"pass {ignoring(names[1:])} to leave {'it' if len(names) == 2 else 'them'} out."
            )
    return {split: filled[names[0]] for split, names in assigned.items()}


def _has_classes(node: Node) -> bool:
    """Tell whether class folders lie below a folder, and not `test/test/1.jpg` alone."""
    inner = node
    while len(inner.filled()) == 1 and says_nothing(next(iter(inner.filled()))):
        inner = next(iter(inner.filled().values()))
    return bool(inner.filled())


def _each_by_name(here: str, train: str | None, named: Mapping[str, str]) -> str:
    """Return the options that name each split; images to train on lie in one folder, or in all that are no split."""
    options: dict[SplitName | None, str] = {"validation": "--val", "test": "--test"}
    way = [f"--data {shlex.quote(here if train is None else f'{here}/{train}')}"]
    way += [f"{options[split_of(own)]} {shlex.quote(f'{here}/{name}')}" for name, own in named.items()]
    way += [ignoring(named)] if train is None else []
    return " ".join(way)


def _read_classes(
    node: Node, split: SplitName | None, shown: str, reading: Reading, tree: Tree, layout: Layout
) -> None:
    """Take the folders below one folder as classes.

    Raises:
        HardenerError: no class folders, folders that look like parts of a divided set, or a depth that has no folders.
    """
    here = f"{shown}/{node.path}" if split is None and node.path else shown
    filled = node.filled()
    depth = reading.class_depth
    if not filled or (depth is None and node.is_flat):
        refuse_flat(node, here, tree)
    if depth is None:
        if split is None and len(filled) == 1 and not node.own:
            refuse_one_folder(next(iter(filled.values())), here, tree)
        images = tree.images if split is None else node.images()
        if (told := told_sets(filled, here, images)) is not None:
            raise HardenerError(told)
        refuse_leftovers(filled, here)
        refuse_unclear(filled, here)
        refuse_copies(filled, here, images)
        refuse_repeated(filled, here, images)
        refuse_ids(filled, here)
        layout.doubts += doubts_about_twins(node.images(), here)
        depth = 1
        _tell_level(filled, split, layout)
        if split in (None, "train"):
            layout.doubts += [
                *doubts_about_drawn_folders(filled),
                *doubts_about_forms(filled),
                *doubts_about_counted(filled),
                *doubts_about_leftovers(filled),
                *(doubts_about_codes(filled, here) or doubts_about_ids(filled)),
                *doubts_about_levels(filled, images),
            ]
    named, above = _at_depth(node, depth)
    if not named:
        raise HardenerError(f"no image lies {depth} folders below {here}. Pass a smaller --class-depth.")
    _leave_unlabelled(above, tree)
    start = len(node.path) + 1 if node.path else 0
    layout.base[split] = node.path
    layout.members[split] = [(name[start:], named[name]) for name in sorted(named, key=lambda n: _order(n, start))]
    clutter = sorted(_CLUTTER & {label for _, label in layout.members[split]})
    layout.doubts += [
        f"{name}/ is taken for a class; in Caltech's sets it holds what is none: {ignoring([name])} leaves it out"
        for name in clutter
    ]
    if depth == 1:
        layout.empty[split], other = empty_classes(node, tree)
        layout.notes += [f"{some(other)} holds other files and no images, and is taken for no class"] if other else []


def _order(name: str, start: int) -> tuple[str, str]:
    folder, _, rest = name[start:].partition("/")
    return folder, rest


def _at_depth(node: Node, depth: int | str) -> tuple[dict[str, str], list[str]]:
    """Return each image's class, by the folder at a depth, and the images that lie above."""
    start = len(node.path) + 1 if node.path else 0
    folders: dict[str, str] = {}
    above: list[str] = []
    for name in node.images():
        parts = name[start:].split("/")[:-1]
        count = len(parts) if depth == "leaf" else int(depth)
        if not parts or count > len(parts):
            above.append(name)
        else:
            folders[name] = "/".join(parts[:count])
    return _short(folders), above


def _short(folders: Mapping[str, str]) -> dict[str, str]:
    """Call a class by its own folder; by the way to it where two folders of one name are two classes."""
    whole: dict[str, set[str]] = defaultdict(set)
    for folder in set(folders.values()):
        whole[folder.rpartition("/")[2]].add(folder)
    first = {folder.partition("/")[0] for folder in folders.values()}
    if all(map(looks_like_split, first)) or all(len(found) == 1 for found in whole.values()):
        return {name: folder.rpartition("/")[2] for name, folder in folders.items()}
    return dict(folders)


def _tell_level(filled: Mapping[str, Node], split: SplitName | None, layout: Layout) -> None:
    wrapped = {name: _unwrapped(node) for name, node in filled.items()}
    if any(node.own and node.filled() for node in wrapped.values()):  # cat/cat/1.png, cat/cat/crops/1.png
        filled = wrapped
    nested = [name for name, node in filled.items() if node.filled()]
    deeper = {name for node in filled.values() for name in node.filled()}
    if len(deeper) > 1 and split in (None, "train"):
        example = f"{nested[0]}/{next(iter(filled[nested[0]].filled()))}"
        layout.notes.append(
            f"class folders hold folders of their own ({example}): the first level was taken, {len(filled)} classes; "
            f"--class-depth 2 takes the next, {len(deeper)} names, and --class-depth leaf the deepest"
        )
    both = [next(iter(filled[name].filled().values())).path for name in nested if filled[name].own]
    if len(deeper) == 1 and both and (made := _made_of_those_above(filled, nested)):
        layout.doubts.append(f"{made}: {ignoring(deeper)} leaves the inner ones out")
    elif len(deeper) == 1 and both and not says_nothing(next(iter(deeper))):
        layout.notes.append(
            f"class folders hold images, and folders of images ({some(both)}): all are taken; "
            f"{ignoring(deeper)} leaves the inner ones out"
        )


def _unwrapped(node: Node) -> Node:
    """Return the folder inside folders that hold one folder and nothing else."""
    while not node.own and len(node.filled()) == 1:
        (node,) = node.filled().values()
    return node


def _made_of_those_above(filled: Mapping[str, Node], nested: Sequence[str]) -> str:
    """Say so where images in inner folders are called after those above: `CROPPED/001_01` after `001`."""
    for node in (filled[name] for name in nested if filled[name].own):
        known = {own_name(image) for image in node.own}
        inner = [image for child in node.filled().values() for image in child.images()]
        after = [image for image in inner if begins_with(own_name(image), known)]
        if after and 2 * len(after) > len(inner):
            return (
                f"{after[0]} is called after {begins_with(own_name(after[0]), known)} above it, so it looks made of "
                "it, and what is trained on in one form may be tested on in the other"
            )
    return ""


def _leave_unlabelled(names: Sequence[str], tree: Tree) -> None:
    for name in names:
        tree.leave(UNLABELLED, name)
