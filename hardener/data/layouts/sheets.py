"""Tables beside the images that they name: train.csv and train/, labels.csv and images/, HuggingFace's metadata.csv."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hardener.config.data_findings import left_out
from hardener.config.reading import Reading, ignoring
from hardener.data.ambiguity import by_names
from hardener.data.brought import Brought, SplitName
from hardener.data.layouts._beside import Beside, ask_the_same, tables_beside, to_take, ways_to_take
from hardener.data.layouts._division import divided_by_lists
from hardener.data.layouts._each import classes_of_each, files_of_each, table_of_each, tell_less_than_folders
from hardener.data.layouts._flat import is_flat
from hardener.data.layouts._side_by_side import refuse_side_by_side
from hardener.data.layouts._tagged import tagged_images
from hardener.data.place import Place
from hardener.data.split_names import looks_handed_in, own_name, split_of_file
from hardener.data.tables.candidates import counted
from hardener.data.tables.class_files import with_names_told
from hardener.data.tables.columns import choose
from hardener.data.tables.content import Table
from hardener.data.tables.divisions import only_divides
from hardener.data.tables.finding import Finder
from hardener.data.tables.names import NoColumn
from hardener.data.tables.rows import Sheet, bring
from hardener.data.tables.several import Below, several_of
from hardener.data.tables.table import ENDINGS, LISTS, read_table
from hardener.data.tree import OTHER, Tree
from hardener.data.unclear.answers import others_of
from hardener.data.unclear.untaken import is_no_data
from hardener.errors import HardenerError

_METADATA = ("metadata.csv", "metadata.jsonl")
_DEEPEST = 2
_ENOUGH = 0.5
_WHOLE = 2
"""How many times the images of the tables that are read a table names that is not, to be the one of all."""
_MARKS = 3
"""Columns of two values that are marks of an image, and no class."""


@dataclass
class _Told:
    """The tables that tell classes of the images, those of images that are not there, and what is wrong with others."""

    usable: dict[str, Table] = field(default_factory=dict)
    elsewhere: dict[str, Table] = field(default_factory=dict)
    faults: dict[str, HardenerError] = field(default_factory=dict)


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return the images that tables name; None where there are none, or the images lie in class folders.

    Raises:
        HardenerError: several tables could be meant, or no column is known to hold the classes; see `bring`.
    """
    files = files_of_each(tree)
    own = set(files.values())
    named = [name for name in tree.others if name.lower().endswith(ENDINGS) and name.count("/") <= _DEEPEST]
    named = [name for name in named if name not in own]
    if not tree.images or not tree.others:
        return None
    metadata = [name for name in named if name.rpartition("/")[2].lower() in _METADATA]
    flat = is_flat(tree)
    if not flat and not metadata:
        return _by_each(place, tree, files, reading) if files and reading.label_column is not None else None
    told = _told(place, metadata or named, tree, reading)
    if flat and not told.usable:
        ways = (_by_each(place, tree, files, reading) if files else None, _by_tags(place, tree, reading))
        if (one := next((way for way in ways if way is not None), None)) is not None:
            return one
        _refuse_unread(place, tree, reading, told)
        refuse_side_by_side(place, tree)
    if not told.usable or (not flat and len(told.usable) < len(metadata)):
        return None
    if flat and reading.label_column is None:
        _refuse_marks_beside(place, tree, reading, told)
        _refuse_part(place, tree, reading, told)
    sheets = _divided(told.usable, place, tree, reading)
    found = bring(sheets, place, reading, tree.images)
    spare = [fact for fact in tree.facts() if fact.reason != OTHER]
    others = left_out(OTHER, [name for name in tree.others if name not in told.usable and not is_no_data(name)])
    spare += [] if others is None else [others]
    found = with_names_told(found, place, [name for name in tree.others if name not in told.usable])
    doubts = (*found.doubts, *_doubts_about_elsewhere(told))
    found = replace(found, doubts=doubts, left_out=(*found.left_out, *spare))
    return divided_by_lists(found, place, tree, told.usable, reading)


def _by_each(place: Place, tree: Tree, files: Mapping[str, str], reading: Reading) -> Brought | None:
    """Return images by what a file for each tells; None where it tells no classes."""
    table = table_of_each(place, files)
    if table is None:
        return None
    if reading.label_column not in table.columns:
        told = classes_of_each(table, reading)
        if not told or tell_less_than_folders(table, told):
            return None
    note = f"the classes were read from a file for each image, such as {next(iter(files.values()))}"
    return _brought(place, tree, reading, Sheet(table), note)


def _by_tags(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return images by their tags in one XML file; None where there is none, or there are several."""
    found = [Sheet(table, _folders(name)) for name, table in tagged_images(place, tree)]
    if len(found) != 1 or len(set(found[0].table.columns["label"]) - {""}) < 2:
        return None
    return _brought(place, tree, reading, found[0], f"the classes were read from the tags in {found[0].table.name}")


def _brought(place: Place, tree: Tree, reading: Reading, sheet: Sheet, note: str) -> Brought:
    found = bring([sheet], place, reading, tree.images)
    spare = [fact for fact in tree.facts() if fact.reason != OTHER]
    return replace(found, notes=(note, *found.notes), left_out=(*found.left_out, *spare))


def _told(place: Place, names: Sequence[str], tree: Tree, reading: Reading) -> _Told:
    """Return the tables that name images of the place, and their classes."""
    told, below = _Told(), Below(tree.images)
    for name in names:
        own = own_name(name)
        if looks_handed_in(own):
            continue
        try:
            table = read_table(f"{place.root}/{name}", place.read(name))
            if (several := several_of(table, below, reading, split_of_file(name))) is not None:
                choose(several.table, several.read_by(reading))
                told.usable[name] = table
                continue
            columns = choose(table, reading)
        except NoColumn as error:
            told.faults[name] = error
            continue
        except HardenerError as error:
            if name.lower().endswith((".json", ".manifest", *LISTS)):
                told.faults[name] = error
                continue
            raise
        finder = Finder(place, table.name, _folders(name), reading.ignore, split_of_file(name))
        step = max(1, len(table) // 100)
        some = columns.paths[::step]
        here = sum(finder.find(path, None) is not None for path in some) >= _ENOUGH * len(some)
        (told.usable if here else told.elsewhere)[name] = table
    return told


def _doubts_about_elsewhere(told: _Told) -> list[str]:
    """Tell of tables like those that are read, such as another split's, whose images are not found."""
    alike = {tuple(table.columns): name for name, table in told.usable.items()}
    lost = {
        name: alike[tuple(table.columns)] for name, table in told.elsewhere.items() if tuple(table.columns) in alike
    }
    return [
        f"{name} is a table like {taken} and is not used: most images that it names are not there, or each may be one "
        f"or another. Put them beside it; {ignoring([name])} says that it is of something else"
        for name, taken in lost.items()
    ]


def _refuse_unread(place: Place, tree: Tree, reading: Reading, told: _Told) -> None:
    """See that no table names the images and has columns that may hold their classes.

    Raises:
        HardenerError: one does, or its classes cannot be read.
    """
    found = tables_beside(place, tree, reading)
    unread = [table for table in found if table.choices or table.fault]
    dividing = [table for table in found if not table.fault and only_divides(table.table, table.path)]
    if dividing and not unread and reading.label_column is None:
        raise HardenerError(_only_splits(place, tree, dividing[0]))
    if not unread:
        return
    first = next((table for table in unread if table.split in (None, "train")), unread[0])
    alike = [table for table in found if table.table.columns.keys() == first.table.columns.keys()]
    if first.fault:
        raise HardenerError(first.fault)
    if reading.label_column is not None and first.name in told.faults:
        raise told.faults[first.name]
    raise HardenerError(_column_unknown(place, first, to_take(place, [first, *alike], reading)))


def _refuse_part(place: Place, tree: Tree, reading: Reading, told: _Told) -> None:
    """See that a table of a part of the images, such as of boxes, does not stand for one of all beside it.

    Raises:
        HardenerError: it does, and the other one's column is to be named.
    """
    if not told.faults:
        return
    tables = tables_beside(place, tree, reading)
    taken = sum(len(table.images) for table in tables if table.name in told.usable)
    whole = [table for table in tables if table.name in told.faults and len(table.images) >= _WHOLE * taken]
    if taken and (larger := next((table for table in whole if table.choices), None)) is not None:
        raise HardenerError(_column_unknown(place, larger, to_take(place, [larger], reading)))


def _column_unknown(place: Place, first: Beside, way: str) -> str:
    """Return what to say of a table with columns that may hold classes, none of which is known to."""
    same = others_of(first.choices[0], first.table.columns, first.choices)
    if same:
        names = ", ".join(sorted([first.choices[0], *same])[:3])
        return (
            f"{place.root}/{first.name} names {len(first.images)} images, and its columns {names} look like answers of "
            "several to the same question. An image has one class here: write what they agree on into a column called "
            f"label, or take one of them by {way or '--label-column NAME'}."
        )
    return (
        f"{place.root}/{first.name} names {len(first.images)} images, and none of its columns "
        f"{counted(first.table, list(first.table.columns))} is known to hold classes. Name it: pass "
        f"{way or '--label-column NAME'}."
    )


def _refuse_marks_beside(place: Place, tree: Tree, reading: Reading, told: _Told) -> None:
    """See that no table of marks lies beside one whose classes no name of a column tells: CelebA's attributes, persons.

    Raises:
        HardenerError: one does, and either may be meant.
    """
    if any(table.headed for table in told.usable.values()):
        return
    tables = tables_beside(place, tree, reading)
    marks = [table for table in tables if table.name not in told.usable and _holds_marks(table)]
    taken = [table for table in tables if table.name in told.usable]
    if not marks or not taken:
        return
    one, other = (to_take(place, [table], reading) for table in (marks[0], taken[0]))
    raise HardenerError(
        f"{place.root} has several tables that may tell classes: {marks[0].name} has {len(marks[0].choices)} marks of "
        f"each image ({', '.join(marks[0].choices[:3])}, …), and {taken[0].name} has {len(taken[0].labels)} classes. "
        f"Take one mark by {one}, or the others by {other}."
    )


def _holds_marks(table: Beside) -> bool:
    return len(table.choices) >= _MARKS and all(len(set(table.table.columns[name])) == 2 for name in table.choices)


def _only_splits(place: Place, tree: Tree, table: Beside) -> str:
    column = next(name for name in table.table.columns if name != table.path)
    whole = shlex.quote(f"{place.root}/{table.name}")
    return (
        f"{place.root}/{table.name} tells the split of {len(table.images)} images, in column {column!r}, and nothing "
        "beside it tells their classes. Put a table of these there, with a column path and a column label; or, if that "
        f"column is the class, pass --data {whole} --label-column {shlex.quote(column)}.{by_names(tree.images)}"
    )


def _folders(name: str) -> tuple[str, ...]:
    """Return the folders that a table's paths may count from: its own, and the root."""
    own = name.rpartition("/")[0]
    return (own, "") if own else ("",)


def _divided(told: dict[str, Table], place: Place, tree: Tree, reading: Reading) -> list[Sheet]:
    """Return the tables, each with its split where there are several."""
    if len(told) == 1:
        ((name, table),) = told.items()
        return [Sheet(table, _folders(name), hint=split_of_file(name))]
    splits: dict[SplitName | None, list[str]] = {}
    for name in told:
        splits.setdefault(split_of_file(name), []).append(name)
    tables = [table for table in tables_beside(place, tree, reading) if table.name in told]
    if None in splits or any(len(names) > 1 for names in splits.values()) or "train" not in splits:
        kept = _kept(splits, tables) if "train" in splits else {next(iter(told))}
        way = ways_to_take(place, tables, reading)
        raise HardenerError(
            f"{place.root} has several tables that name its images: {', '.join(list(told)[:5])}. Pass "
            f"{f'one, {way}, or' if way else 'what is trained on by --data, and'} leave some out: "
            f"{ignoring(name for name in told if name not in kept)}."
        )
    _refuse_questions(place, tables, reading)
    return [Sheet(told[name], _folders(name), split) for split, (name,) in splits.items()]


def _kept(splits: Mapping[SplitName | None, Sequence[str]], tables: Sequence[Beside]) -> set[str]:
    """Return the first table to train on, and one of each other split that is of the same question."""
    known = {table.name: table for table in tables}
    first = splits["train"][0]
    fit = {
        split: [name for name in own if not {name, first} <= known.keys() or ask_the_same(known[first], known[name])]
        for split, own in splits.items()
        if split
    }
    return {names[0] for names in fit.values() if names}


def _refuse_questions(place: Place, tables: Sequence[Beside], reading: Reading) -> None:
    """See that the tables of splits are of one question.

    Raises:
        HardenerError: one is `artist_train.csv`, and another `genre_val.csv`.
    """
    training = next((table for table in tables if table.split == "train"), None)
    others = [] if training is None else [table for table in tables if not ask_the_same(training, table)]
    if training is None or not others:
        return
    way = to_take(place, tables, reading)
    options = {"validation": "--val", "test": "--test"}
    more = [f"{options[table.split]} {shlex.quote(f'{place.root}/{table.name}')}" for table in others if table.split]
    raise HardenerError(
        f"{place.root}/{training.name} and {' and '.join(table.name for table in others)} are called after different "
        f"questions about the images. {way} takes the classes of the first; {' '.join([way, *more])} takes all as one."
    )
