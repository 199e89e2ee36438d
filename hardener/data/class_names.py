"""Class names that are the same to a reader and not to a computer."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from hardener.config.bundle import LONGEST_LINE
from hardener.config.reading import ignoring
from hardener.data.split_names import divided_name
from hardener.errors import HardenerError
from hardener.words import listed, one_line

_BETWEEN = re.compile(r"(?<=[^\W\d_])[_-]+(?=[^\W\d_])")  # two letters: A- and A, 1_1 and 11 are no twins
_MOST_MOVED = 12
_NUMBER = re.compile(r"0*(\d+)(?:\.0*)?")


def refuse_alike(names: Mapping[str, Iterable[str]]) -> None:
    """See that no two class names differ only by case, spaces, the marks between words, the form of their letters, or
    the way in which one number is written.

    Args:
        names: for each split, called as the user sees it, the names of its classes.
    Raises:
        HardenerError: two do; it says what to rename.
    """
    spellings: dict[str, dict[str, str]] = defaultdict(dict)
    for place, found in names.items():
        for name in sorted(set(found)):
            spellings[_key(name)].setdefault(name, place)
    alike = [found for found in spellings.values() if len(found) > 1]
    if not alike:
        return
    told = "; ".join(
        " and ".join(f"{_visible(name, found)} ({place})" for name, place in found.items()) for found in alike[:3]
    )
    first = next(iter(alike[0]))
    renamed = [(place, name, next(iter(found))) for found in alike for name, place in [*found.items()][1:]]
    raise HardenerError(
        f"class names differ only by {_difference(list(alike[0]))}: {told}. They would be classes of their own. "
        f"Give all of them one name, such as {unicodedata.normalize('NFC', ' '.join(first.split()))!r}"
        f"{_by_moving(renamed)}."
    )


def _by_moving(renamed: Sequence[tuple[str, str, str]]) -> str:
    """Return how class folders are renamed; nothing where they are none, or one of the new name lies there.

    Args:
        renamed: where a folder lies, its name, and the new one.
    """
    ways = [(Path(place, name), Path(place, new)) for place, name, new in renamed]
    if len(ways) > _MOST_MOVED or not all(
        folder.is_dir() and not (new.exists() and not folder.samefile(new)) for folder, new in ways
    ):
        return ""
    return ": " + " && ".join(shlex.join(["mv", str(folder), str(new)]) for folder, new in ways)


def refuse_others(shown: str, found: Collection[str], classes: Sequence[str], known_as: str) -> None:
    """See that images of a split bring no class that the training images lack.

    Args:
        shown: what messages call the split.
        found: the classes that it has.
        known_as: what messages call the images that have `classes`.
    Raises:
        HardenerError: it has others; where all are, the folders may be no classes at all.
    """
    extra = sorted(set(found) - set(classes))
    if not extra:
        return
    missing = sorted(set(classes) - set(found))
    parts = [f"lacks {listed(missing, 5)}"] if missing else []
    parts += [f"has {listed(extra, 5)} besides"]
    known = {_key(name): name for name in classes}
    ends = {name: known.get(_key(divided[0])) for name in extra if (divided := divided_name(name)) is not None}
    if len(ends) == len(extra) and len(set(ends.values()) - {None}) == len(extra):
        renamed = [(shown, name, str(new)) for name, new in ends.items()]
        raise HardenerError(
            f"{shown} has other classes than {known_as}: {listed(extra, 5)} for "
            f"{listed([new for _, _, new in renamed], 5)}. Give them one name{_by_moving(renamed)}."
        )
    start = f"{shown} has other classes than {known_as}: it {' and '.join(parts)}. Every class needs training images."
    numbered = [all(map(_NUMBER.fullmatch, names)) for names in (extra, classes)]
    if any(numbered) and not all(numbered) and len(extra) == len(set(found)):
        raise HardenerError(f"{start} One has numbers for classes, and the other names: write the same into both.")
    if len(extra) == len(set(found)) > 1 and len(classes) > 1:
        raise HardenerError(
            f"{start} No class is in both, so the folders may be videos, persons or places. Then write a CSV file "
            "with a column path, a column label and a column split, and pass that. If they are classes, divide the "
            "images of each."
        )
    raise HardenerError(f"{start} Rename what is the same class, or pass {ignoring(extra)}.")


def refuse_unserved(names: Iterable[str]) -> None:
    """See that a bundle can carry the names of classes, and that a reader can tell them apart there.

    Raises:
        HardenerError: one is blank or too long, or two are one as they are shown; it says what to rename.
    """
    shown: dict[str, str] = {}
    for name in names:
        line = one_line(name)
        if not line.strip():
            raise HardenerError(f"{name!r} is the name of a class and shows nothing. Give it another one.")
        if len(line) > LONGEST_LINE:
            raise HardenerError(
                f"the name of the class {line[:60]!r}… has {len(line):,} characters, and at most {LONGEST_LINE:,} can "
                "be exported. Give it a shorter one."
            )
        if line in shown:
            raise HardenerError(
                f"the names of two classes, {shown[line]!r} and {name!r}, look alike wherever they are shown. "
                "Give one of them another name."
            )
        shown[line] = name


def _key(name: str) -> str:
    plain = "".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).split())
    number = _NUMBER.fullmatch(plain) if plain.isascii() else None
    return number[1] if number else _BETWEEN.sub("", plain)


def _difference(names: list[str]) -> str:
    first, second = names[:2]
    if _NUMBER.fullmatch("".join(first.split())) and "".join(first.split()) != "".join(second.split()):
        return "how a number is written"
    if _BETWEEN.search(first) or _BETWEEN.search(second):
        return "case, spaces and the marks between words"
    if unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second):
        return "the Unicode form of their letters (NFC, NFD)"
    if "".join(first.split()) == "".join(second.split()):
        return "spaces"
    return "case" if len(first.split()) == len(second.split()) else "case and spaces"


def _visible(name: str, found: Iterable[str]) -> str:
    """Return a name so that it can be told from the others."""
    composed = {unicodedata.normalize("NFC", other) for other in found}
    return ascii(name) if len(composed) < len(list(found)) else repr(name)


def doubt_of_order(classes: Sequence[str]) -> str | None:
    """Say where classes are numbers and not in the order of their size: outputs of a model from elsewhere may be."""
    if not all(name.isdecimal() for name in classes) or sorted(classes, key=int) == list(classes):
        return None
    width = max(map(len, classes))
    return (
        f"the classes are numbers and stand in the order {listed(classes, 4)}, …, which is taken for the order of the "
        "model's outputs. If those stand by size, all figures are wrong: write the names of the classes in "
        f"{width} digits, such as {min(classes, key=int).zfill(width)}"
    )
