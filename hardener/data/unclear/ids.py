"""Folders that are called by who or what was looked at, and when: `s0001`, `patient12`, `cam_3`, `2019`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from hardener.data.ambiguity import some
from hardener.data.node import Node
from hardener.data.unclear.name_parts import labels_by, may_be, telling_parts, told
from hardener.errors import HardenerError

_MARKED = r"[\W_]*\d{1,8}(?:[\W_]?[a-z])?"
_KINDS = {
    "persons": re.compile(
        r"(?:subjects?|subj?|persons?|people|patients?|pat|pts?|pid|users?|actors?|participants?|volunteers?|drivers?|"
        rf"signers?|speakers?|spk|individuals?|donors?|players?|students?|children|child|case|ids?|[spu]){_MARKED}",
        re.I,
    ),
    "cameras, places or recordings": re.compile(
        r"(?:cams?|cameras?|sites?|hospitals?|cent(?:er|re)s?|sessions?|sess|visits?|videos?|vids?|clips?|seqs?|"
        rf"sequences?|recordings?|devices?|scans?|slides?|rooms?|stations?|trials?){_MARKED}",
        re.I,
    ),
    "years or days": re.compile(r"(?:19|20)\d\d(?:[\W_]?\d\d[\W_]?\d\d)?"),
}
NO_TABLE = "write each image's class to a CSV file"
"""What is advised where no table is known."""
_LETTER = re.compile(r"[a-z][\W_]*\d+", re.I)
_NEARLY = 0.8
_FEWEST, _OF_LETTERS = 3, 5
"""Folders without which names say nothing; and where a letter and a number, such as `s1`, are all that they are."""
_FEW = 20
"""Values that a part of a file's name has at most, where it tells a class."""
_OFTEN = 2
"""Images of each value in a folder on average; running numbers have one."""


def refuse_ids(filled: Mapping[str, Node], here: str) -> None:
    """Refuse persons' folders where a part of the files' names has the same few values in most of them.

    Raises:
        HardenerError: it is so; it names the patterns.
    """
    kind = _kind(filled, _FEWEST) if all(node.is_leaf for node in filled.values()) else None
    images = _images(filled) if kind else []
    patterns = [pattern for pattern in telling_parts(images) if _crosses(labels_by(pattern, images))]
    if not patterns:
        return
    ways = "; ".join(told(pattern, images) for pattern in patterns[:_OF_LETTERS])
    raise HardenerError(
        f"the folders below {here} ({some(filled)}) are called like {kind}, and a part of the names of their files has "
        f"the same few values in most of them. If it tells the class, pass the pattern of that part: {ways} (what is "
        "drawn divides the images of a folder, unless data.group_by keeps them together). If the folders are the "
        "classes, pass --class-depth 1."
    )


def doubts_about_ids(filled: Mapping[str, Node]) -> list[str]:
    """Tell of folders that are called like persons, and are taken for classes: to know persons again is a task too."""
    kind = _kind(filled, _OF_LETTERS if all(map(_LETTER.fullmatch, filled)) else _FEWEST)
    if kind is None:
        return []
    images = _images(filled)
    return [
        f"the folders ({some(filled)}) are called like {kind}, and are taken for the classes. Where these are to be "
        f"told apart, that is right: --class-depth 1 says so. If not, {NO_TABLE}, a column "
        f"path and a column label, and pass that as --data.{may_be(telling_parts(images), images)}"
    ]


def _kind(filled: Mapping[str, Node], fewest: int) -> str | None:
    """Return what folders are called like, where nearly all are."""
    for kind, pattern in _KINDS.items():
        count = sum(pattern.fullmatch(name) is not None for name in filled)
        if count >= fewest and count >= _NEARLY * len(filled):
            return kind
    return None


def _images(filled: Mapping[str, Node]) -> Sequence[str]:
    return [name for node in filled.values() for name in node.images()]


def _crosses(labels: Mapping[str, str]) -> bool:
    """Tell whether most folders have several of a few labels, each of several images."""
    pairs = {(name.rpartition("/")[0], label) for name, label in labels.items()}
    folders = Counter(folder for folder, _ in pairs)
    several = [folder for folder, count in folders.items() if count > 1]
    few = len({label for _, label in pairs}) <= _FEW
    return few and 2 * len(several) > len(folders) and len(labels) >= _OFTEN * len(pairs)
