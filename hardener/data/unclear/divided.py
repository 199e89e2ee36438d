"""Folders that are sets, or parts of one, and no classes: refused, with what to pass."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from hardener.config.reading import ignoring
from hardener.data.ambiguity import some
from hardener.data.node import Node
from hardener.data.split_names import divided_name, parts_of_sets, shared_start, split_of
from hardener.data.unclear.name_parts import classes_of, labels_by, sure_pattern, telling_parts, told
from hardener.data.unclear.repeated import hold_the_same


def parts_of_one_set(filled: Mapping[str, Node]) -> dict[str, str]:
    """Return the folders of class folders that are the parts of one set: `train_afew`, `val_afew` beside `ck_face`."""
    sets = parts_of_sets(name for name, node in filled.items() if not node.is_leaf)
    return next(iter(sets.values())) if len(sets) == 1 else {}


def told_sets(filled: Mapping[str, Node], here: str, images: Sequence[str]) -> str | None:
    """Return what to say of folders that are sets of the same classes, each divided; None of others."""
    return _named_sets(filled, here, images) or _sets_below(filled, here, images) or _one_set(filled, here)


def told_part(named: Sequence[str], others: Mapping[str, Node], here: str) -> str | None:
    """Return what to say of folders of images that are parts of a set; None where the split's name may be a class's.

    Args:
        named: the folders that are named like splits.
        others: those beside them.
    """
    ignore = ignoring(named)
    divided = [divided_name(name) for name in others]
    words = {found[1] for found in divided if found is not None}
    if None not in divided and len(words) == 1 and len(others) > 1:
        stem, _ = divided[0] or ("", "")
        pattern = f"{{label}}{next(iter(others)).strip()[len(stem) :]}/{{*}}"
        read = labels_by(pattern, [image for node in others.values() for image in node.images()])
        if len(set(read.values())) == len(others):
            return (
                f"the folders below {here} are named by a class and a split ({some(others)}), and {some(named)} has "
                f"images and no class folders. {ignore} --label-from {shlex.quote(pattern)} reads "
                f"{classes_of(read.values())} from their names. If each is a class of its own, pass --class-depth 1."
            )
    names = [*named, *others]
    if not (shared_start(names) or shared_start([name[::-1] for name in names])):
        return None
    return (
        f"the folders below {here} look like parts of a divided set, not like classes: {some(names)}. "
        f"{_by_parts(ignore, others)}If they are the classes, pass --class-depth 1."
    )


def _one_set(filled: Mapping[str, Node], here: str) -> str | None:
    """Tell of folders of images that are the parts of one set, beside others: `box_train`, `box_test`, `query`."""
    sets = parts_of_sets(name for name, node in filled.items() if node.is_leaf)
    if len(sets) != 1 or not all(node.is_leaf for node in filled.values()):
        return None
    (parts,) = sets.values()
    train = [name for name, word in parts.items() if split_of(word) == "train"]
    others = ignoring(name for name in filled if name not in train)
    return (
        f"{some(parts)} below {here} look like the splits of one set, not like classes. "
        f"{_by_parts(others, {name: filled[name] for name in train})}If they are the classes, pass --class-depth 1."
    )


def _by_parts(ignore: str, others: Mapping[str, Node]) -> str:
    """Return the ways to read the classes from the names of files that are no test images."""
    images = [image for node in others.values() for image in node.images()]
    pattern = sure_pattern(images)
    patterns = [pattern] if pattern else telling_parts(images)[:3]
    ways = [f"{ignore} {told(way, images)}" for way in patterns]
    return f"The names of images may tell the classes: {'; '.join(ways)}. " if ways else ""


def _named_sets(filled: Mapping[str, Node], here: str, images: Sequence[str]) -> str | None:
    """Tell of `train_a/cat`, `val_a/cat`, `train_b/cat`, `val_b/cat`."""
    sets = parts_of_sets(filled)
    nodes = [filled[name] for found in sets.values() for name in found]
    if len(sets) < 2 or len(nodes) < len(filled) or not (inner := _shared_classes(nodes)):
        return None
    one = next(iter(sets))
    rest = [name for name in filled if name not in sets[one]]
    (name, word), *_ = sets[one].items()
    mark = name[len(word)] if name.startswith(word) else name[-len(word) - 1]
    folder = f"{{split}}{mark}{{*}}" if name.startswith(word) else f"{{*}}{mark}{{split}}"
    way = _way(inner, images, [f"{folder}/{{label}}/{{*}}"])
    return (
        f"the folders below {here} are the parts of {len(sets)} sets ({some(filled)}) with the same classes "
        f"({some(inner)}). {ignoring(rest)} takes {one} alone.{way} If they are the classes, pass --class-depth 1."
    )


def _sets_below(filled: Mapping[str, Node], here: str, images: Sequence[str]) -> str | None:
    """Tell of `a/train/cat`, `a/test/cat`, `b/train/cat`, `b/test/cat`; also of `fold1/a/train/cat`."""
    sets = _all_divided(filled) or _all_divided(
        {f"{name}/{below}": child for name, node in filled.items() for below, child in node.filled().items()}
    )
    parts = [part for node in sets.values() for part in node.filled().values()]
    if not (inner := _shared_classes(parts) if parts else set()):
        return None
    first = min(sets)
    one = f"--data {shlex.quote(f'{here}/{first}')} takes one of them alone"
    if hold_the_same(sets.values()):
        return (
            f"the folders below {here} ({some(sets)}) hold the same splits, classes and names of files, so they look "
            f"like copies of one set: {one}. If they are the classes, pass --class-depth 1."
        )
    way = _way(inner, images, ["{label}/{*}", "{*}/{label}/{*}"])
    return (
        f"the folders below {here} ({some(sets)}) are sets, each with its splits, of the same classes ({some(inner)}). "
        f"{one}.{way} If they are the classes, pass --class-depth 1."
    )


def _all_divided(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return, for each of some folders, that below whose folders are splits; nothing where one has none."""
    sets = {name: found for name, node in nodes.items() if (found := _divided_below(node)) is not None}
    return sets if len(sets) == len(nodes) > 1 else {}


def _divided_below(node: Node) -> Node | None:
    """Return the folder whose folders are all splits, one of them of train; through folders that hold one alone."""
    while node.filled():
        splits = list(map(split_of, node.filled()))
        if "train" in splits and len(splits) > 1 and all(splits):
            return node
        if len(splits) > 1:
            return None
        (node,) = node.filled().values()
    return None


def _shared_classes(parts: Sequence[Node]) -> set[str]:
    """Return the class folders that all parts hold; empty where they have not two of them, or few of all."""
    sets = [set(part.filled()) for part in parts]
    shared, every = set.intersection(*sets), set.union(*sets)
    return every if len(shared) > 1 and 2 * len(shared) >= len(every) else set()


def _way(inner: set[str], images: Sequence[str], patterns: Sequence[str]) -> str:
    """Return the option that takes all sets together; empty where it would read other classes."""
    for pattern in patterns:
        if set(labels_by(pattern, images).values()) == inner:
            return f" --label-from {shlex.quote(pattern)} takes all of them together, in their splits."
    return ""
