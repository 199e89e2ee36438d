"""Class folders, and lists beside them that name the images of each split: Food-101's meta/train.txt, CUB's table,
DTD's ten sets of lists, EuroSAT's CSV files, Speech Commands' lists of all but the training images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hardener.config.data_findings import left_out
from hardener.config.reading import Reading, ignoring
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.layout import Layout
from hardener.data.layouts._beside import tables_beside, to_take
from hardener.data.layouts._flat import is_flat
from hardener.data.layouts._lookup import Lookup
from hardener.data.layouts._other_classes import read_folders, see_that_tables_agree
from hardener.data.layouts._split_rows import Row, Told, told_splits
from hardener.data.place import Place
from hardener.data.tree import OTHER, Tree
from hardener.data.unclear.leftover import said_once
from hardener.errors import HardenerError

ROWS_NAMED = 0.5
"""The share of its lines that a list of these images names at least; others are about something else."""
GONE = 0.1
"""The share of lines whose image may be gone."""
ORDER: tuple[SplitName, ...] = ("train", "validation", "test")

Splits = dict[str, SplitName]


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return the images of each split; None where no such lists lie beside class folders that are not divided.

    Raises:
        HardenerError: lists that contradict each other or the folders, or lack many images; see `read_folders` too.
    """
    if not tree.images or is_flat(tree):
        return None
    found = _first(place, tree, reading)
    if found is None:
        return None
    told, splits, gone = found
    own = replace(tree, left_out={reason: list(names) for reason, names in tree.left_out.items()})
    layout = read_folders(place, own, reading)
    said = see_that_tables_agree(place, tree, layout.classes(), reading)
    if len(layout.members) > 1 or not _divides(layout, splits):
        _refuse_other_folders(place, tree, reading, layout, told, splits)
        return None
    label = layout.classes()
    splits = {name: split for name, split in splits.items() if name in label}
    rest = [name for name in label if name not in splits]
    if set(splits.values()) == {"train"} and not rest:
        return None  # a list of all there is divides nothing
    notes, doubts = (
        [*layout.notes, f"the splits were read from {', '.join(told.files)}{told.note}"],
        said_once(layout.doubts, said),
    )
    if "train" not in splits.values():
        splits |= dict.fromkeys(rest, "train")
        notes += [f"no list names images to train on: the {len(rest)} that none names are taken"] if rest else []
        rest = []
    if gone:
        some = ", ".join(gone[:3]) + (", …" if len(gone) > 3 else "")
        doubts.append(f"{len(gone)} images that {', '.join(told.files)} names are not there ({some})")
    if len(rest) > GONE * len(label):
        doubts.append(f"{len(rest)} of {len(label)} images stand in no list of a split: they are left out")
    groups: dict[SplitName | None, Group] = {}
    for split in ORDER:
        names = [name for name in label if splits.get(name) == split]
        if names:
            groups[split] = place.group("", names, [label[name] for name in names], source=source_of_split(told, split))
    spare = [fact for fact in own.facts() if fact.reason != OTHER]
    others = left_out(OTHER, [name for name in tree.others if name not in told.files])
    unnamed = left_out("images that no list of a split names", rest)
    spare += [fact for fact in (others, unnamed) if fact is not None]
    return Brought(groups, notes=tuple(notes), doubts=tuple(doubts), left_out=tuple(spare))


def _divides(layout: Layout, splits: Splits) -> bool:
    """Tell whether lists divide class folders that are not divided, or those of `train/` alone."""
    return None in layout.members or ("train" in layout.members and {"train"} < set(splits.values()))


def source_of_split(told: Told, split: SplitName) -> str:
    """Return what a split is said to come from."""
    named = [name for name, own in told.files.items() if own in (split, None)]
    return ", ".join(named) or f"what {', '.join(told.files)} does not name"


def _first(place: Place, tree: Tree, reading: Reading) -> tuple[Told, Splits, list[str]] | None:
    """Return the first lists that are about these images, the split of each image, and lines whose image is gone.

    Raises:
        HardenerError: they name an image in two splits, or lack many images.
    """
    find = None
    for told in told_splits(place, tree, reading):
        find = find or Lookup(tree.images)
        rows = [(row, find(row.line, row.file, row.split)) for row in told.rows]
        gone = [row.line for row, name in rows if name is None]
        if not rows or len(gone) > ROWS_NAMED * len(rows):
            continue
        files = list(told.files)
        if len(gone) > GONE * len(rows):
            start = f"{', '.join(files)} below {place.root} name{'s' if len(files) == 1 else ''} {len(rows)} images"
            if unsure := [line for line in gone if line in find.unsure]:
                one, other, *_ = find.unsure[unsure[0]]
                raise HardenerError(
                    f"{start}, and {len(unsure)} of them may be one file or another, such as {unsure[0]}: {one} or "
                    f"{other}. Write whole paths into the list, leave one of the folders out by --ignore with its "
                    f"name, or pass {without(tree, files)} to divide the images without."
                )
            raise HardenerError(
                f"{start}, and {len(gone)} of them are not there, such as {gone[0]}. Put them back, take these lines "
                f"out, or pass {without(tree, files)} to divide the images without."
            )
        return told, settled(place, tree, told, [(row, name) for row, name in rows if name is not None]), gone
    return None


def settled(place: Place, tree: Tree, told: Told, rows: Sequence[tuple[Row, str]]) -> Splits:
    """Return the split of each image.

    Raises:
        HardenerError: one stands in the lists of two.
    """
    first: dict[str, Row] = {}
    for row, name in sorted(rows, key=lambda item: item[0].loose):
        before = first.setdefault(name, row)
        if before.split == row.split or (row.loose and before.split == "validation"):
            continue
        both = f"{before.file} and {row.file}" if before.file != row.file else before.file
        raise HardenerError(
            f"{name} stands in two splits, {before.split} and {row.split}, by {both} below {place.root}. "
            f"{_way_of_all(rows)}Take it out of one; or pass {without(tree, told.files)} to divide the images without."
        )
    return {name: row.split for name, row in first.items()}


def _way_of_all(rows: Sequence[tuple[Row, str]]) -> str:
    """Return what to pass where the lists of one split name nearly all images of the others: PACS's of its tests."""
    named: dict[SplitName, set[str]] = {}
    for row, name in rows:
        named.setdefault(row.split, set()).add(name)
    for split, own in named.items():
        others = [images for other, images in named.items() if other != split]
        rest = set[str]().union(*others)
        if "train" in named and split != "train" and len(others) > 1 and len(own & rest) >= (1 - GONE) * len(rest):
            files = dict.fromkeys(row.file for row, _ in rows if row.split == split)
            return f"The lists of {split} name the images of the others too: {ignoring(files)} divides by these alone. "
    return ""


def without(tree: Tree, files: Iterable[str]) -> str:
    """Return the words that pass over lists, and over a folder that holds nothing else: it would be an empty class."""
    lists = set(files)
    rest = {name.partition("/")[0] for name in (*tree.images, *tree.others) if name not in lists}
    return ignoring(dict.fromkeys(name if (top := name.partition("/")[0]) in rest else top for name in sorted(lists)))


def _refuse_other_folders(
    place: Place, tree: Tree, reading: Reading, layout: Layout, told: Told, splits: Splits
) -> None:
    """See that images to train on by their folders are not others by the lists.

    Raises:
        HardenerError: some are.
    """
    base = layout.base.get("train", "")
    training = [f"{base}/{name}" if base else name for name, _ in layout.members.get("train", [])]
    held = [name for name in training if splits.get(name, "train") != "train"]
    if not held:
        return
    tables = [table for table in tables_beside(place, tree, reading) if table.name in told.files and table.labels]
    way = to_take(place, tables, reading)
    raise HardenerError(
        f"{place.root} has {len(held)} images in {base}/ that {', '.join(told.files)} names for "
        f"{splits[held[0]]}, such as {held[0]}. Move them to a folder of that split; or "
        + (f"take what is named, by {way}." if way else f"pass {without(tree, told.files)} to train on them.")
    )
