"""Names of folders that say which split they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hardener.data.brought import SplitName

_WORDS: dict[SplitName, str] = {
    "train": "train|training|trn|trainval",
    "validation": "val|valid|validation|validate|validating|dev|develop|development",
    "test": "test|tests|testing|tst|holdout|hold[ _-]?out|held[ _-]?out|heldout|eval|evaluation",
}
_FILLER = (
    "seg|sets?|data|datasets?|images?|imgs?|pics?|pictures?|photos?|split|folder|dir|samples?|jpe?gs?|pngs?|"
    "public|private"
)
_SPLITS: dict[SplitName, re.Pattern[str]] = {
    split: re.compile(rf"(?:(?:{_FILLER})[\W_]*)*(?:{words})(?:[\W_]*(?:{_FILLER}|\d{{4}}))*", re.I)
    for split, words in _WORDS.items()
}
_ANY = "|".join(_WORDS.values())
_PART = re.compile(
    r"(?:k?folds?|cv|parts?|partitions?|splits?|subsets?|chunks?|shards?|batch(?:es)?|set)[\W_]*(?:\d+|[a-z])?"
    rf"|(?:{_ANY})[\W_]*(?:{_FILLER})?[\W_]*(?:\d+|v\d+|[a-z]|aug|augmented|old|new|orig|original|clean|noisy)",
    re.I,
)
_PLAIN = re.compile(rf"(?:{_FILLER})(?:[\W_]*(?:{_FILLER}))*", re.I)
_UNLABELLED = re.compile(r".*(?:pred|predict|prediction|unlabell?ed|submission|submit)s?", re.I)


def split_of(name: str) -> SplitName | None:
    """Return the split that a folder's name tells, in any case and spelling: `Train`, `seg_test`, `val_set`."""
    stripped = name.strip(" _-.")
    return next((split for split, pattern in _SPLITS.items() if pattern.fullmatch(stripped)), None)


def looks_like_split(name: str) -> bool:
    """Tell whether a name is one of a part of data that is no known split: `fold1`, `part_0`, `train_2`."""
    return split_of(name) is None and _PART.fullmatch(name.strip()) is not None


def looks_unlabelled(name: str) -> bool:
    """Tell whether a name says that the images in the folder have no class: `seg_pred`, `unlabeled`."""
    return _UNLABELLED.fullmatch(name.strip()) is not None


def says_nothing(name: str) -> bool:
    """Tell whether a folder's name is no class's: it names a split, images as such, or images without a class."""
    return split_of(name) is not None or looks_unlabelled(name) or _PLAIN.fullmatch(name.strip()) is not None


def assign(names: Iterable[str]) -> dict[SplitName, list[str]]:
    """Return the folders of each split; `eval` is validation where another folder is the test split."""
    found: dict[SplitName, list[str]] = {}
    for name in sorted(names):
        split = split_of(name)
        if split is not None:
            found.setdefault(split, []).append(name)
    tests = found.get("test", [])
    evals = [name for name in tests if "eval" in name.lower()]
    if len(evals) == 1 and len(tests) == 2 and "validation" not in found:
        found["validation"] = evals
        found["test"] = [name for name in tests if name not in evals]
    return found
