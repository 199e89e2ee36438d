"""Names of files and folders -> splits and classes. It opens nothing, so it serves folders and archives alike.

A name is taken for what the tree shows: `train` is a split where class folders lie below it, and a class where it
holds images like its neighbours. Where the tree can be read in two ways, the user chooses.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hardener.config.reading import Reading
from hardener.data.brought import SplitName
from hardener.data.file_kind import EXTENSIONS
from hardener.data.layouts.file_names import guess
from hardener.data.split_names import assign, looks_like_split, looks_unlabelled, says_nothing, split_of
from hardener.data.tree import Tree
from hardener.errors import HardenerError

UNLABELLED = "images in no class folder"


@dataclass
class Node:
    """A folder: the images that lie in it and below it."""

    path: str
    own: list[str] = field(default_factory=list)
    children: dict[str, Node] = field(default_factory=dict)
    count: int = 0

    def filled(self) -> dict[str, Node]:
        """Return the folders that hold images at any depth."""
        return {name: node for name, node in sorted(self.children.items()) if node.count}

    def images(self) -> list[str]:
        """Return all images below, sorted as class folders list them."""
        return sorted([*self.own, *(name for node in self.children.values() for name in node.images())])

    @property
    def is_flat(self) -> bool:
        """Whether all images lie in one folder that is called as no class is: `images/`."""
        filled = self.filled()
        return len(filled) == 1 and all(node.is_leaf and says_nothing(name) for name, node in filled.items())

    @property
    def is_leaf(self) -> bool:
        """Whether all images lie in the folder itself."""
        return self.count == len(self.own)


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


def read_layout(tree: Tree, shown: str, reading: Reading) -> Layout:
    """Find splits and classes.

    Args:
        tree: what is left out is noted in it.
        shown: what messages call the root.
    Raises:
        HardenerError: no images or class folders; or a layout that can be read in more than one way.
    """
    layout = Layout()
    root = _descend(_grow(tree), shown, tree, layout, keep=())
    splits = _split_folders(root, shown, tree, layout)
    if not splits:
        _read_classes(root, None, shown, reading, tree, layout)
        return layout
    known: tuple[str, ...] = ()
    for split in sorted(splits, key=lambda split: split != "train"):
        node = _descend(splits[split], shown, tree, layout, keep=known)
        if not node.filled() and node.own:
            _leave_unlabelled(node.images(), tree)
            layout.doubts.append(f"{node.path}/ has {node.count} images and no class folders: it is left out")
            continue
        _read_classes(node, split, f"{shown}/{node.path}", reading, tree, layout)
        if split == "train":
            known = tuple(node.filled())
    if not layout.members:
        name = splits[min(splits, key=lambda split: split != "train")].path
        raise HardenerError(
            f"{shown} has images and no class folders. Put each class in its own folder: {shown}/{name}/cat/001.jpg."
            + _by_names(tree)
        )
    return layout


def _grow(tree: Tree) -> Node:
    root = Node("")
    for folder in tree.folders:
        _node(root, folder)
    for name in tree.images:
        node = _node(root, name.rpartition("/")[0])
        node.own.append(name)
    _count(root)
    return root


def _node(root: Node, folder: str) -> Node:
    node = root
    for part in folder.split("/") if folder else ():
        node = node.children.setdefault(part, Node(f"{node.path}/{part}" if node.path else part))
    return node


def _count(node: Node) -> int:
    node.count = len(node.own) + sum(map(_count, node.children.values()))
    return node.count


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


def _split_folders(root: Node, shown: str, tree: Tree, layout: Layout) -> dict[SplitName, Node]:
    """Return the folders of splits; none where the folders are classes.

    Raises:
        HardenerError: split folders beside others, or two of one split.
    """
    filled = root.filled()
    named = {name for name in filled if split_of(name)}
    others = {name: node for name, node in filled.items() if name not in named}
    if not named:
        return {}
    if all(node.is_leaf for node in filled.values()) and not all(map(looks_unlabelled, others)):
        taken = "is taken for a class" if len(named) == 1 else "are taken for classes"
        layout.doubts.append(f"{_list(named)} {taken}, like the folders beside: {_list(others)}")
        return {}
    spare = [name for name, node in others.items() if looks_unlabelled(name)]
    mixed = [name for name in others if name not in spare]
    if mixed:
        here = f"{shown}/{root.path}" if root.path else shown
        ignore = " ".join(f"--ignore {shlex.quote(name)}" for name in mixed[:5])
        raise HardenerError(
            f"{here} has split folders ({_list(named)}) beside other folders with images ({_list(mixed)}). Put the "
            f"classes into the splits; or pass {ignore} to leave them out."
        )
    for name in spare:
        _leave_unlabelled(others[name].images(), tree)
        layout.doubts.append(f"{others[name].path}/ has {others[name].count} images without a class: it is left out")
    if root.own:
        _leave_unlabelled(root.own, tree)
    assigned = assign(named)
    for split, names in assigned.items():
        if len(names) > 1:
            raise HardenerError(
                f"{shown} has {len(names)} folders that look like the {split} split: {_list(names)}. Rename one, or "
                f"pass --ignore {shlex.quote(names[-1])} to leave it out."
            )
    return {split: filled[names[0]] for split, names in assigned.items()}


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
        _refuse_flat(node, here, tree)
    if depth is None:
        _refuse_parts(filled, here)
        _refuse_splits_below(filled, here)
        depth = 1
        _tell_level(filled, split, layout)
    named, above = _at_depth(node, depth)
    if not named:
        raise HardenerError(f"no image lies {depth} folders below {here}. Pass a smaller --class-depth.")
    _leave_unlabelled(above, tree)
    start = len(node.path) + 1 if node.path else 0
    layout.base[split] = node.path
    layout.members[split] = [(name[start:], named[name]) for name in sorted(named, key=lambda n: _order(n, start))]
    if depth == 1:
        layout.empty[split] = sorted(name for name, child in node.children.items() if not child.count)


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
    nested = [name for name, node in filled.items() if node.filled()]
    deeper = {name for node in filled.values() for name in node.filled()}
    if len(deeper) > 1 and split in (None, "train"):
        example = f"{nested[0]}/{next(iter(filled[nested[0]].filled()))}"
        layout.notes.append(
            f"class folders hold folders of their own ({example}): the first level was taken, {len(filled)} classes; "
            f"--class-depth 2 takes the next, {len(deeper)} names, and --class-depth leaf the deepest"
        )


def _refuse_flat(node: Node, here: str, tree: Tree) -> None:
    count = node.count
    found = f"{count} image{'s' if count != 1 else ''}" if count else "no images"
    if node.children and not count:
        left = "; ".join(str(fact) for fact in tree.facts())
        raise HardenerError(
            f"{here} has {len(node.children)} folders and no images ({', '.join(EXTENSIONS)}) in any of them."
            + (f" Left out: {left}." if left else "")
        )
    raise HardenerError(
        f"{here} has {found} and no class folders. Put each class in its own folder: {here}/cat/001.jpg."
        + _by_names(tree)
    )


def _by_names(tree: Tree) -> str:
    """Return what to pass where the names of files tell the classes: cat.0.jpg, dog.0.jpg."""
    pattern = guess(tree.images)
    return (
        f" The names of its images seem to tell classes: pass --label-from {shlex.quote(pattern)}." if pattern else ""
    )


def _refuse_parts(filled: Mapping[str, Node], here: str) -> None:
    """Refuse `fold1`, `fold2`: they are no classes, and only the user knows which of them to train on."""
    names = list(filled)
    if len(names) < 2 or not all(map(looks_like_split, names)):
        return
    inner = {name for node in filled.values() for name in node.filled()}
    merged = "" if not inner else f" --class-depth 2 takes all of them together, with the classes {_list(inner)};"
    single = (
        f" --data {here}/{names[0]} --val {here}/{names[1]} trains on one and validates on another;" if inner else ""
    )
    raise HardenerError(
        f"the folders below {here} look like parts of a divided set, not like classes: {_list(names)}.{merged}{single} "
        "or rename them train, val and test. If they are the classes, pass --class-depth 1."
    )


def _refuse_splits_below(filled: Mapping[str, Node], here: str) -> None:
    """Refuse `cat/train/`, `cat/test/`: read as class folders, test images would be trained on."""
    divided = [
        name for name, node in filled.items() if node.filled() and all(map(split_of, node.filled())) and not node.own
    ]
    if not divided or 2 * len(divided) < len(filled):
        return
    name = divided[0]
    inner = next(iter(filled[name].filled()))
    raise HardenerError(
        f"{here} has split folders inside its class folders ({name}/{inner}). Put splits above classes: "
        f"{here}/{inner}/{name}. Or pass --class-depth 1 to take all images of {name}/ together; splits are then drawn."
    )


def _leave_unlabelled(names: Sequence[str], tree: Tree) -> None:
    for name in names:
        tree.leave(UNLABELLED, name)


def _list(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
