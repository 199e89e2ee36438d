"""Tables that name each image by a name that several have: they tell nothing, and look as if they did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from hardener.config.reading import ignoring
from hardener.data.place import Place
from hardener.data.tables.table import ENDINGS, read_table
from hardener.data.tree import Tree
from hardener.data.unclear.untaken import is_no_data, mentions
from hardener.errors import HardenerError

_DEEPEST = 2
_PEEKED = 1 << 14
_ENOUGH = 0.5
"""The share of a table's rows, and of the names that stand twice, of which a table is to be about images."""


def doubts_about_unsure(place: Place, tree: Tree, known: Collection[str]) -> list[str]:
    """Tell of tables most of whose rows may be one image or another: `1.png` of `a/1.png` and `b/1.png`.

    Args:
        known: tables that name images.
    """
    names = [name for name in tree.others if name.lower().endswith(ENDINGS) and name.count("/") <= _DEEPEST]
    names = [name for name in names if name not in known and not is_no_data(name)]
    called: dict[str, list[str]] = defaultdict(list)
    for image in tree.images if names else ():
        own = image.rpartition("/")[2]
        for way in {own, own.rpartition(".")[0]}:
            if not way.isdecimal():  # a number may be anything's
                called[way].append(image)
    twice = {name: images for name, images in called.items() if len(images) > 1}
    count = len({images[0] for images in twice.values()})
    doubts = []
    for name in names if twice else ():
        try:
            if not mentions(place.read(name, _PEEKED).decode("utf-8-sig", "replace"), twice):
                continue
            columns = read_table(f"{place.root}/{name}", place.read(name)).columns
        except (HardenerError, OSError):  # of something else, or torn
            continue
        for cells in columns.values() if len(columns) > 1 else ():
            unsure = [cell for cell in cells if cell in twice]
            if len(unsure) >= _ENOUGH * len(cells) and len(set(unsure)) >= _ENOUGH * count:
                one, other, *_ = twice[unsure[0]]
                doubts.append(
                    f"{name} is not used: its {unsure[0]} may be {one} or {other}. If it tells classes or splits, "
                    f"write whole paths into it, such as {one}; {ignoring([name])} says that nothing is told there"
                )
                break
    return doubts
