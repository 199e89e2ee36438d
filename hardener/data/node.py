"""The folders of a tree, each with the images that lie in it and below it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hardener.data.split_names import says_nothing
from hardener.data.tree import Tree


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


def grow(tree: Tree) -> Node:
    """Return the root of a tree."""
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
