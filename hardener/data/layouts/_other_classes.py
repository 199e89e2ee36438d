"""Class folders and tables beside them: a table that tells other classes of the same images is no litter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from hardener.config.reading import Reading, ignoring
from hardener.data.layout import Layout, read_layout
from hardener.data.layouts._beside import Beside, ask_the_same, folders_beside, tables_beside, to_take, ways_to_take
from hardener.data.layouts._each import doubts_about_each
from hardener.data.layouts._unsure import doubts_about_unsure
from hardener.data.place import Place
from hardener.data.split_names import split_in, words_of
from hardener.data.tables.candidates import counted
from hardener.data.tables.columns import tells_classes
from hardener.data.tables.content import lines_of
from hardener.data.tree import Tree
from hardener.errors import HardenerError

_FAIR, _MOST = 0.3, 0.5
"""The share of a folder's images that a table names, to be about it; and to be about all of it."""
_OF_PARTS = {
    "image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "data", "dataset", "input", "inputs",
    "set", "fold", "part", "phase", "batch", "split", "mask", "masks", "segmentation", "segmentations", "augmented",
    "original",
}  # fmt: skip
"""Words in the names of folders that are hardly classes."""
_FEW = 8
"""Folders that are hardly all clips of a set: there are more of these."""
_OF_CLASSES = {"class", "classes", "label", "labels", "category", "categories", "species"}
"""Words in the names of classes, or of their column."""
_WORDNET, _WORD = re.compile(r"n\d{8}"), re.compile(r"[^\W\d_]{2}")
_LARGEST = 1 << 27
_BOOKS = (".xlsx", ".xls", ".ods", ".mat", ".pkl")
_DEEPEST = 3


def see_that_tables_agree(place: Place, tree: Tree, classes: Mapping[str, str], reading: Reading) -> list[str]:
    """Return what is to be said of tables beside class folders.

    Args:
        classes: image -> its class by its folder.
    Raises:
        HardenerError: a table tells others of most images of a folder, and only the user knows which are meant.
    """
    of_each = doubts_about_each(place, tree, classes, reading)
    tables = tables_beside(place, tree, reading)
    sizes = Counter(classes.values())
    about = [table for table in tables if any(_shares(table, classes, sizes, _FAIR))]
    told = [table for table in about if 2 <= len(table.labels) <= len(table.images) / 2]
    if others := [table for table in told if not _agree(_pairs(table, classes))]:
        raise HardenerError(_contradiction(place, others, tables, classes, reading))
    unclear = [table for table in about if (table.choices or table.fault) and not _some_column_agrees(table, classes)]
    named = {name for table in (*told, *unclear) for name in _shares(table, classes, sizes, _MOST)}
    touched = {classes[image] for table in about for image in table.images if image in classes}
    bare = sorted(sizes.keys() - touched) if named else []
    if unclear and (bare or any(map(_is_part, sizes))):
        raise HardenerError(_unknown(place, unclear, tables, sizes, reading))
    doubts = [*of_each, *(_doubt(place, table, reading) for table in unclear)]
    if bare:
        shown = " and ".join(f"{name}/" for name in bare[:3]) + (" and others" if len(bare) > 3 else "")
        doubts.append(
            f"{(told or unclear)[0].name} names images of the other folders and none of {shown}, taken for "
            f"{'a class' if len(bare) == 1 else 'classes'} like these: {ignoring(bare)} leaves them out"
        )
    known = {table.name for table in tables}
    doubts += doubts_about_unsure(place, tree, known)
    doubts += _of_as_many_rows(place, tree, len(classes), known)
    doubts += _of_folders(place, tree, classes, known, reading)
    books = [name for name in tree.others if name.lower().endswith(_BOOKS) and name.count("/") <= _DEEPEST]
    if books and any(map(_is_part, sizes)):
        doubts.append(
            f"{books[0]} is not read, and the folders are called like parts of the data ({_first(sizes)}): if it tells "
            "the classes, save it as CSV, with a column path and a column label, and pass that as --data"
        )
    return doubts


def read_folders(place: Place, tree: Tree, reading: Reading) -> Layout:
    """Return what folders tell; where they cannot be read, the error also says what to type to take a table beside.

    Raises:
        HardenerError: see `read_layout`.
    """
    try:
        return read_layout(tree, str(place.root), reading)
    except HardenerError as error:
        if way := _way_by_tables(place, tree, reading):
            raise HardenerError(f"{error} {way}") from None
        raise


def _way_by_tables(place: Place, tree: Tree, reading: Reading) -> str:
    """Return what to type where a table tells classes of images whose folders cannot be read; nothing without one."""
    tables = [table for table in tables_beside(place, tree, reading) if len(table.labels) > 1 or table.choices]
    tables = [table for table in tables if len(table.images) >= _FAIR * len(tree.images) or table.split]
    way = ways_to_take(place, tables, reading)
    return f"A table tells classes of these images: it is read by {way}." if way else ""


def _shares(table: Beside, classes: Mapping[str, str], sizes: Mapping[str, int], least: float) -> list[str]:
    """Return the class folders of whose images a table names at least a share."""
    named = Counter(classes[image] for image in table.images if image in classes)
    return [name for name, count in named.items() if count >= least * sizes[name]]


def _pairs(table: Beside, classes: Mapping[str, str]) -> set[tuple[str, str]]:
    return {(classes[image], label) for image, label in table.images.items() if label and image in classes}


def _agree(pairs: Collection[tuple[str, str]]) -> bool:
    """Tell whether each folder has one label, and each label one folder."""
    return len(pairs) == len({folder for folder, _ in pairs}) == len({label for _, label in pairs})


def _some_column_agrees(table: Beside, classes: Mapping[str, str]) -> bool:
    for name in table.choices:
        cells = zip(table.files, table.table.columns[name], strict=True)
        pairs = {(classes[file], cell) for file, cell in cells if file in classes and file and cell}
        if len(pairs) > 1 and _agree(pairs):
            return True
    return False


def _is_part(name: str) -> bool:
    own = name.rpartition("/")[2]
    return split_in(own) is not None or not _OF_PARTS.isdisjoint(word.lower() for word in words_of(own))


def _contradiction(
    place: Place, others: Sequence[Beside], tables: Sequence[Beside], classes: Mapping[str, str], reading: Reading
) -> str:
    first = _main(others)
    pairs = _pairs(first, classes)
    folders, labels = {folder for folder, _ in pairs}, {label for _, label in pairs}
    return (
        f"{place.root}/{first.name} tells other classes of the images than their folders do: {len(labels)} "
        f"({_first(labels)}) in {len(folders)} folder{'s' if len(folders) > 1 else ''} ({_first(folders)}). "
        f"{_ways(place, first, tables, reading)}"
    )


def _unknown(
    place: Place, unclear: Sequence[Beside], tables: Sequence[Beside], sizes: Mapping[str, int], reading: Reading
) -> str:
    first = _main(unclear)
    start = f"{place.root}/{first.name} names images below folders that are hardly their classes ({_first(sizes)})"
    if first.fault:
        return f"{start}, and cannot be read: {first.fault} Or take the folders by {ignoring([first.name])}."
    if first.choices:
        start += (
            f". The classes may stand in its columns {counted(first.table, first.choices)}; name the one that is meant"
        )
    return f"{start}. {_ways(place, first, tables, reading)}"


def _main(tables: Sequence[Beside]) -> Beside:
    return max(tables, key=lambda table: (table.split != "test", len(table.images)))


def _ways(place: Place, first: Beside, tables: Sequence[Beside], reading: Reading) -> str:
    """Return what to type: to take a table and those of other splits beside it, or the folders."""
    keep = ignoring(table.name for table in tables if table.labels or table.choices)
    told = [table for table in tables if table.labels or table.choices]
    others = [table for table in told if table.split not in (None, first.split) or not ask_the_same(first, table)]
    way = ways_to_take(place, [first, *others], reading)
    if not way:
        return f"It is of held-out images: name what is trained on by --data, and this by --test; or pass {keep}."
    return f"Take the table's by {way}, or the folders by {keep}."


def _doubt(place: Place, table: Beside, reading: Reading) -> str:
    columns = f" ({counted(table.table, table.choices)})" if table.choices else ""
    way = to_take(place, [table], reading)
    takes = f"; {way} takes them from it" if way and table.choices else ""
    return (
        f"{table.name} names {len(table.images)} of these images and is not used: the classes are the folders. If they "
        f"stand in one of its columns{columns}, name that{takes}; {ignoring([table.name])} says that they do not"
    )


def _of_as_many_rows(place: Place, tree: Tree, count: int, known: Collection[str]) -> list[str]:
    """Tell of tables with a row for each image that name none: their classes and splits cannot be used."""
    doubts = []
    for name in tree.others:
        if name in known or name.count("/") > 1 or not name.lower().endswith((".csv", ".tsv")):
            continue
        try:
            data = place.read(name, _LARGEST)
        except OSError:
            continue
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        header = lines_of(data[:4096].decode("utf-8-sig", "replace"))[0].replace("\t", ",").replace(";", ",").split(",")
        if lines - 1 == count and len(header) > 2:
            doubts.append(
                f"{name} has a row for each of the {count} images, and no column that names their files: what it tells "
                f"({', '.join(filter(None, header[:8]))}) is not used. If classes or splits are among it, write each "
                "image's file name into a column called path, and pass the table as --data"
            )
    return doubts


def _of_folders(
    place: Place, tree: Tree, classes: Mapping[str, str], known: Collection[str], reading: Reading
) -> list[str]:
    """Tell of tables with a class for each folder of images, as MURA has one for each study.

    Raises:
        HardenerError: the folders that are taken for classes are such, and are called by numbers, as clips are.
    """
    tables = [
        table
        for table in folders_beside(place, tree, known, reading)
        if (len(table.labels) > 1 and not _agree(_pairs(table, classes)) if table.labels else table.choices)
        and not _some_column_agrees(table, classes)
    ]
    rows = {table.name: Counter(classes[own] for own in table.files if own and own in classes) for table in tables}
    each = [table for table in tables if table.folders and set(rows[table.name].values()) == {1}]
    sheets = [table for table in each if table.name.lower().endswith((".csv", ".tsv"))]
    tables = [table for table in tables if table in sheets or _names_its_classes(table)]
    sure = [
        table
        for table in each
        if len(rows[table.name]) > _FEW and _names_its_classes(table) and not _lists_classes(table)
    ]
    if sure and all(re.search(r"\d", name) for name in set(classes.values())):
        raise HardenerError(_unknown(place, sure, tables, Counter(classes.values()), reading))
    if not tables:
        return []
    one = len(tables) == 1
    way = to_take(place, tables, reading) or "--test with its name"
    return [
        f"{' and '.join(table.name for table in tables[:3])} {'tells' if one else 'tell'} of "
        f"{'folders of images' if tables[0].folders else 'images by what they are called after'} "
        f"({tables[0].table.columns[tables[0].path][0]}), and {'is' if one else 'are'} not used: {way} takes their "
        f"classes from there; {ignoring(table.name for table in tables)} says that nothing is told there"
    ]


def _names_its_classes(table: Beside) -> bool:
    """Tell whether a table has a column that is called after classes, or no names of columns at all."""
    return not table.table.headed or any(tells_classes(name) for name in table.table.columns if name != table.path)


def _lists_classes(table: Beside) -> bool:
    """Tell whether a table of folders is one of classes: it calls them so, or has a name for each."""
    cells = table.table.columns[table.path]
    words = {word.lower() for name in (table.path, cells[0]) for word in words_of(name)}
    if not words.isdisjoint(_OF_CLASSES) or all(map(_WORDNET.fullmatch, cells)):
        return True
    rest = [column for name, column in table.table.columns.items() if name != table.path]
    return any(len(set(column)) == len(column) and all(map(_WORD.search, column)) for column in rest)


def _first(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
