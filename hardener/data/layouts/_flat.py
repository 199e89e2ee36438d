"""Whether class folders can be meant, or images lie flat beside tables and lists."""

from __future__ import annotations

from hardener.data.split_names import says_nothing, split_of, without_shared
from hardener.data.tree import Tree


def is_flat(tree: Tree) -> bool:
    """Tell whether no folder's name tells a class: images lie in `images/`, `train/`, `train_50/` or the root."""
    folders = {name.rpartition("/")[0] for name in tree.images}
    if len(folders) == 1 or all(not folder or says_nothing(folder.rpartition("/")[2]) for folder in folders):
        return True
    return all("/" not in folder and split_of(short) for folder, short in without_shared(folders).items())
