"""What lies in a folder or an archive -> classes and labelled images, by whichever layout knows it."""

from __future__ import annotations

from dataclasses import replace

from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.layouts import LAYOUTS
from hardener.data.layouts._division import divided_by_names
from hardener.data.layouts._other_classes import read_folders, see_that_tables_agree
from hardener.data.place import Place
from hardener.data.tables.class_files import with_names_told
from hardener.data.unclear.leftover import said_once
from hardener.data.unclear.untaken import doubts_about_splits


def read_inside(place: Place, reading: Reading) -> Brought:
    """Return the images of each split; class folders where no layout knows the place.

    Raises:
        HardenerError: see `read_folders`, and the layout that knows the place.
    """
    tree = place.tree(reading.ignore)
    for name, entry in LAYOUTS.items():
        found: Brought | None = entry.load()(place, tree, reading)
        if found is not None:
            return replace(found, kind=name)
    layout = read_folders(place, tree, reading)
    classes = layout.classes()
    doubts = said_once(layout.doubts, see_that_tables_agree(place, tree, classes, reading))
    groups: dict[SplitName | None, Group] = {}
    for split, members in layout.members.items():
        paths, names = (tuple(column) for column in zip(*members, strict=True))
        base = layout.base[split]
        group = place.group(base, paths, names, source=f"{base}/" if base else "")
        groups[split] = replace(group, empty=tuple(layout.empty.get(split, ())))
    found = Brought(groups, notes=tuple(layout.notes), doubts=tuple(doubts), left_out=tree.facts())
    found = divided_by_names(found)
    if None in found.splits:
        found = replace(found, doubts=(*found.doubts, *doubts_about_splits(place, tree, (), list(classes))))
    return with_names_told(found, place, tree.others, "rename the folders")
