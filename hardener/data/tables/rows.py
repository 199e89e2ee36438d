"""Tables of a place -> images with classes and splits, and what is to be said of them."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hardener.config.data_findings import left_out
from hardener.config.reading import Reading, ignoring
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.class_names import refuse_alike
from hardener.data.place import Place
from hardener.data.sources._arrays import class_order
from hardener.data.split_names import splits_of_folders
from hardener.data.tables.columns import choose, choose_path
from hardener.data.tables.content import Table
from hardener.data.tables.finding import Finder, likely_root, nearly_named, refuse_outside
from hardener.data.tables.groups import doubt_about_groups, groups_of_rows
from hardener.data.tables.several import Below, Several, names_images, several_of
from hardener.data.tree import is_named, is_passed_over
from hardener.errors import HardenerError

MOST_WRONG = 0.1
"""The share of rows that may lack their image, or images that may have two classes; above it, classes are missed."""
_TRIED = 100


@dataclass(frozen=True)
class Sheet:
    """A table, the folders of a place that its paths may count from, and the split that it is.

    `hint`: what its name tells; of files with one name it takes those of that split, and it may be no split itself.
    """

    table: Table
    folders: tuple[str, ...] = ("",)
    split: SplitName | None = None
    hint: SplitName | None = None


@dataclass(frozen=True)
class _Row:
    """A path of a table, the file that it stands for, its class and its split."""

    path: str
    name: str
    label: str
    split: SplitName | None
    group: str | None


@dataclass
class _Rows:
    """Images by split: name -> class; and what is said of them."""

    members: dict[SplitName | None, dict[str, str]] = field(default_factory=dict)
    sources: dict[SplitName | None, dict[str, None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    undivided: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    two: dict[str, tuple[str, str]] = field(default_factory=dict)
    again: int = 0
    named: set[str] = field(default_factory=set)
    together: dict[str, str] = field(default_factory=dict)

    def leave(self, reason: str, name: str) -> None:
        self.left.setdefault(reason, []).append(name)

    def add(self, split: SplitName | None, name: str, label: str, source: str) -> None:
        members = self.members.setdefault(split, {})
        self.sources.setdefault(split, {})[source] = None
        if name not in members:
            members[name] = label
        elif members[name] != label:
            self.two.setdefault(name, (members[name], label))
        else:
            self.again += 1


def bring(sheets: Sequence[Sheet], place: Place, reading: Reading, images: Sequence[str] = ()) -> Brought:
    """Find the images that tables name.

    Args:
        place: the images lie below it.
        images: of the place; those that no table names are told.
    Raises:
        HardenerError: see `choose`; too many images are missing, or lie outside; or none has a class.
    """
    rows = _Rows()
    for sheet in sheets:
        _read(sheet, place, reading, rows)
    shown = ", ".join(sheet.table.name for sheet in sheets)
    refuse_outside(shown, place, rows.outside)
    _settle_two(rows, shown)
    _refuse_shared(rows, shown)
    if set(rows.members) == {None}:
        _divide_by_folders(rows, shown)
    if not any(rows.members.values()):
        told = "; ".join(f"{len(names)} {reason}" for reason, names in rows.left.items())
        raise HardenerError(f"{shown} names no image with a class: {told or 'every row is passed over'}.")
    groups: dict[SplitName | None, Group] = {}
    for split, members in rows.members.items():
        names = sorted(members, key=lambda name: name.split("/"))
        source = ", ".join(rows.sources[split])
        if names:
            found = place.group("", names, [members[name] for name in names], source=source)
            together = [rows.together.get(name, name) for name in names] if rows.together else None
            groups[split] = replace(found, together=together)
    if "validation" not in groups:
        rows.doubts += rows.undivided
    refuse_alike({shown: sorted({label for group in groups.values() for label in group.classes})})
    if rows.again:
        rows.notes.append(f"{rows.again} rows of {shown} repeat another row: each image is taken once")
    for name in images:
        if name not in rows.named:
            rows.leave("images that no table names", name)
    return Brought(
        groups,
        classes=class_order([groups["train"]] if "train" in groups else list(groups.values())),
        notes=tuple(rows.notes),
        doubts=tuple(rows.doubts),
        left_out=tuple(fact for reason, names in rows.left.items() if (fact := left_out(reason, names))),
    )


def _read(sheet: Sheet, place: Place, reading: Reading, rows: _Rows) -> None:
    hint = sheet.split or sheet.hint
    finder = Finder(place, sheet.table.name, sheet.folders, reading.ignore, hint)
    several = _several(sheet, place, reading, finder)
    if several is not None:
        sheet, reading = replace(sheet, table=several.table), several.read_by(reading)
    table = sheet.table
    columns = choose(table, reading)
    groups = groups_of_rows(table, reading)
    if several is not None and groups is None and several.parted(columns.labels):
        groups = columns.paths
    if reading.group_by is None and (doubt := doubt_about_groups(table, columns)) is not None:
        rows.undivided.append(doubt)
    finders = [finder, *([Finder(place, table.name, sheet.folders, (), hint)] if reading.ignore else [])]
    rows.notes += columns.notes if several is None else (*columns.notes, several.note(groups is columns.paths))
    rows.doubts += columns.doubts
    source = table.name if columns.splits is None else f"{table.name}, by its column"
    found: list[_Row] = []
    missing: list[str] = []
    paths = _without_number(columns.paths, Finder(place, table.name, sheet.folders, reading.ignore, hint))
    for number, (path, label) in enumerate(zip(paths, columns.labels, strict=True)):
        split = sheet.split if columns.splits is None else columns.splits[number]
        if columns.splits is not None and split is None:
            rows.leave("rows of no known split", path)
        elif not _is_passed_over(path, label, reading):
            names = _found(path, split, finders) if several is None else several.images[number]
            missing += [] if names else [path]
            group = None if groups is None else groups[number]
            here = [name for name in names if not _is_named_here(name, reading)]
            found += [_Row(path, name, label, split, group if group is None else group or name) for name in here]
    asked = len(found) + len(missing)
    strays = finder.strays([(row.name, row.label) for row in found])
    missing += [row.path for row in found if row.name in strays]
    found = [row for row in found if row.name not in strays]
    _take(found, source, rows)
    rows.outside += finder.outside
    if not rows.outside:
        _tell_missing(sheet, missing, asked, place, rows, finder.unsure)
    _tell_unlabelled(table.name, found, rows)
    below = {row.name.rpartition("/")[0] for row in found} & finder.below
    if below:
        folders = ", ".join(f"{folder or '.'}/" for folder in sorted(below)[:3])
        rows.notes.append(f"{table.name}: images were found by their names in {folders}")


def _take(found: Sequence[_Row], source: str, rows: _Rows) -> None:
    """Put what was found into its splits."""
    for row in found:
        rows.named.add(row.name)
        if row.group is not None:
            rows.together[row.name] = row.group
        if row.label:
            rows.add(row.split, row.name, row.label, source)
        else:
            rows.leave("rows without a class", row.path)


def _several(sheet: Sheet, place: Place, reading: Reading, finder: Finder) -> Several | None:
    """Return a table whose rows are no images, and stand for several each; None for any other."""
    table = sheet.table
    if names_images(table):
        return None
    with contextlib.suppress(HardenerError):
        cells = table.columns[choose_path(table, reading)]
        found = any(finder.find(cell, None) for cell in cells[:: max(1, len(cells) // _TRIED)])
        finder.forget()
        if found:
            return None
    return several_of(table, Below(place.tree(reading.ignore).images), reading, sheet.split or sheet.hint)


def _found(path: str, split: SplitName | None, finders: Sequence[Finder]) -> tuple[str, ...]:
    name = next((own for find in finders if (own := find.find(path, split))), None)
    return () if name is None else (name,)


def _without_number(paths: Sequence[str], finder: Finder) -> Sequence[str]:
    """Take off each path the words before its name, `603 1.jpg`, where only so they are files."""
    some = paths[:: max(1, len(paths) // _TRIED)]
    if not all(" " in path for path in paths) or any(finder.find(path, None) for path in some):
        return paths
    short = [path.rpartition(" ")[2] for path in paths]
    return short if all(finder.find(path, None) for path in short[:: max(1, len(paths) // _TRIED)]) else paths


def _is_passed_over(path: str, label: str, reading: Reading) -> bool:
    named = path.removeprefix("./")
    below = not named.startswith("/") and ".." not in named.split("/")
    if named and (is_passed_over(named, reading.ignore) or (below and _is_named_here(named, reading))):
        return True
    return bool(label) and is_named(label, reading.ignore)


def _is_named_here(name: str, reading: Reading) -> bool:
    """Tell whether a pattern fits a file, or a folder above it."""
    if not reading.ignore:
        return False
    parts = name.split("/")
    return any(is_named("/".join(parts[:end]), reading.ignore) for end in range(1, len(parts) + 1))


def _tell_unlabelled(name: str, found: Sequence[_Row], rows: _Rows) -> None:
    """Say where many rows of a split have no class, or all, as those of a test that was handed out without."""
    if all(row.label for row in found):
        return
    splits: dict[SplitName | None, list[_Row]] = {}
    of_folder = splits_of_folders(row.name for row in found)
    for row in found:
        splits.setdefault(row.split or of_folder[row.name.rpartition("/")[0]], []).append(row)
    for split, own in splits.items():
        without = [row.path for row in own if not row.label]
        where = f" of {split}" if split else ""
        some = ", ".join(without[:3]) + (", …" if len(without) > 3 else "")
        if MOST_WRONG * len(own) < len(without) < len(own):
            rows.doubts.append(
                f"{len(without)} of the {len(own)} rows of {name}{where} have no class ({some}): they are left out. "
                "Another column of classes is named by --label-column"
            )
        if without and len(without) == len(own) < len(found):
            rows.doubts.append(f"the {len(own)} rows{where} of {name} have no class ({some}): they are left out")


def _tell_missing(
    sheet: Sheet, missing: list[str], asked: int, place: Place, rows: _Rows, unsure: Sequence[Sequence[str]]
) -> None:
    """Say which images are not there.

    Args:
        unsure: of the paths those that several files fit, each with two of these.
    Raises:
        HardenerError: too many.
    """
    name = sheet.table.name
    if not missing:
        return
    some = ", ".join(path or "(empty)" for path in missing[:3]) + (", …" if len(missing) > 3 else "")
    if len(missing) > MOST_WRONG * asked:
        if 2 * len(unsure) > len(missing):
            path, one, other = unsure[0]
            folder = f"{place.root}/{one}".rpartition("/")[0]
            raise HardenerError(
                f"{len(missing)} of the {asked} images that {name} names may be one file or another of {place.root}, "
                f"such as {path}: {one} or {other}. Name the folder that its paths count from, such as --images-root "
                f"{shlex.quote(folder)}."
            )
        if (alike := nearly_named(place, missing)) is not None:
            raise HardenerError(
                f"{len(missing)} of the {asked} images that {name} names are not below {place.root}: {some}. Files of "
                f"nearly these names are, such as {alike[1]} for {alike[0]}. Write the names as the files have them."
            )
        near = likely_root(place.root, missing)
        raise HardenerError(
            f"{len(missing)} of the {asked} images that {name} names are not below {place.root}: {some}. "
            + (
                f"Its paths count from {near}: pass --images-root {shlex.quote(str(near))}."
                if near is not None
                else "Name the folder that its paths count from, --images-root DIR; or the column that holds them, "
                "--path-column NAME."
            )
        )
    for path in missing:
        rows.leave("rows whose image is not there", path)
    rows.doubts.append(f"{len(missing)} images that {name} names are not there ({some}): they are left out")


def _settle_two(rows: _Rows, shown: str) -> None:
    """Leave out images that have two classes, and say so.

    Raises:
        HardenerError: there are too many.
    """
    if not rows.two:
        return
    name, (one, other) = next(iter(rows.two.items()))
    start = f"{len(rows.two)} images have two classes in {shown}, such as {name}: {one} and {other}"
    if len(rows.two) > MOST_WRONG * sum(map(len, rows.members.values())):
        raise HardenerError(
            f"{start}. An image has one class here. Keep one row an image, or name another column by --label-column."
        )
    rows.doubts.append(f"{start}: they are left out")
    for members in rows.members.values():
        for own in rows.two.keys() & members.keys():
            del members[own]
            rows.leave("images with two classes", own)


def _refuse_shared(rows: _Rows, shown: str) -> None:
    """See that no split names many images of another: a few are told of by who looks at the images.

    Raises:
        HardenerError: one does.
    """
    for (one, own), (other, others) in itertools.combinations(rows.members.items(), 2):
        shared = sorted(own.keys() & others.keys())
        if len(shared) > MOST_WRONG * min(len(own), len(others)):
            tables = list(dict.fromkeys((*rows.sources[one], *rows.sources[other])))
            raise HardenerError(
                f"{len(shared)} images stand in two splits, {one} and {other}, by {shown}, such as {shared[0]}. A "
                "model is not judged by what it was trained on: take their rows out of one"
                + (", or put the images of each split beside its own table." if len(tables) > 1 else ".")
            )


def _divide_by_folders(rows: _Rows, shown: str) -> None:
    """Take the splits that folders tell, where each image lies in one: train/1.jpg, test/1.jpg.

    Raises:
        HardenerError: some images lie in folders of splits to judge by, and others in none.
    """
    members = rows.members[None]
    told = splits_of_folders(members)
    splits = set(told.values())
    if None in splits and splits & {"validation", "test"} and not _are_classes(members):
        _refuse_mixed(told, shown)
    if None in splits or "train" not in splits or len(splits) < 2:
        return
    counts: Counter[str] = Counter()
    source = rows.sources[None]
    rows.members, rows.sources = {}, {}
    for name, label in members.items():
        split = told[name.rpartition("/")[0]]
        counts[str(split)] += 1
        rows.members.setdefault(split, {})[name] = label
        rows.sources[split] = {f"{own}, by its folders": None for own in source}
    found = ", ".join(f"{count} {split}" for split, count in counts.items())
    rows.notes.append(f"{shown}: its images lie in folders of splits ({found})")


def _are_classes(members: Mapping[str, str]) -> bool:
    """Tell whether images lie in folders called like their classes, of which one may be a test."""
    return all(label in name.split("/")[:-1] for name, label in members.items())


def _refuse_mixed(told: Mapping[str, SplitName | None], shown: str) -> None:
    """Refuse `test/` beside other folders: whether these are for training, only the user knows.

    Raises:
        HardenerError: always.
    """
    known = sorted(folder for folder, split in told.items() if split)
    others = sorted(folder for folder, split in told.items() if not split)
    some = " and ".join(", ".join(f"{folder or '.'}/" for folder in own[:3]) for own in (known, others))
    ignore = "" if "" in others else f"; or pass {ignoring(others[:5])} to leave the others out"
    raise HardenerError(
        f"the images of {shown} lie in folders of splits and in others: {some}. Write train, val or test into each "
        f"row, in a column called split{ignore}."
    )
