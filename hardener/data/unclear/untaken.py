"""Splits that files or the names of images seem to tell, and that are not taken: test images would be trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from hardener.config.reading import ignoring
from hardener.data.place import Place
from hardener.data.split_names import looks_handed_in, own_name, split_in, split_of, splits_of_names, words_of
from hardener.data.tree import Tree

_READABLE = (".txt", ".lst", ".csv", ".tsv", ".json", ".jsonl", ".ndjson")
_PACKED = (".mat", ".npy", ".npz", ".pkl", ".pickle", ".xlsx", ".xls", ".ods", ".parquet", ".yaml", ".yml", ".xml")
_WORDS = {"split", "splits", "partition", "partitions", "fold", "folds"}
_FOR_PEOPLE = re.compile(r"read[\W_]*me|licen[cs]e|citation|changelog|attribution|notes?$", re.I)
_KEY = re.compile(r'"([A-Za-z_-]{2,20})"\s*:\s*[\[{]')
_PEEKED, _TRIED, _DEEPEST, _MANY = 1 << 14, 2000, 3, 50
_ALL = 0.95
"""The share of the images whose names tell a split, where these are no chance."""


def doubts_about_splits(place: Place, tree: Tree, taken: Collection[str], images: Sequence[str]) -> list[str]:
    """Tell of files that seem to divide the images, where nothing does.

    Args:
        taken: files that are read.
        images: that are used.
    """
    names = [*tree.others, *(name for found in tree.left_out.values() for name in found)]
    names = [name for name in names if name.lower().endswith((*_READABLE, *_PACKED)) and name.count("/") <= _DEEPEST]
    counts = Counter(name.rpartition("/")[0] for name in names)
    names = [name for name in names if name not in taken and counts[name.rpartition("/")[0]] <= _MANY]
    stems = {own_name(name) for name in images} if names else set()
    found = sorted(name for name in names if _tells(place, name, stems))
    if not found:
        return doubts_about_names(images)
    shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
    return [
        f"{shown} {'seems' if len(found) == 1 else 'seem'} to tell splits and not to be used here: images of a test "
        "may be trained on. Name each image and its split in a table, in the columns path and split, or pass images of "
        f"each split by --data, --val and --test; {ignoring(found)} says that nothing is told there",
        *doubts_about_names(images),
    ]


def doubts_about_names(images: Sequence[str]) -> list[str]:
    """Tell of images that are called like splits, where nothing else divides them: `train_001.jpg`, `test_001.jpg`."""
    some = images[:: max(1, len(images) // _TRIED)]
    told = splits_of_names(some)
    if "train" not in told or len(told) < 2 or sum(map(len, told.values())) < _ALL * len(some):
        return []
    shown = " and ".join(own[0] for own in told.values())
    return [
        f"the names of the images seem to tell splits ({shown}) that nothing takes: images of a test may be trained "
        "on. Write train, val or test into each row of a table, in a column called split, or move each split into a "
        "folder of that name"
    ]


def _tells(place: Place, name: str, stems: Collection[str]) -> bool:
    own = own_name(name)
    if is_no_data(name):
        return False
    if not _WORDS.isdisjoint(word.lower() for word in words_of(own)):
        return True
    if not name.lower().endswith(_READABLE):
        return False
    held = split_in(own) in ("validation", "test")
    if not held and not name.lower().endswith(".json"):
        return False
    try:
        text = place.read(name, _PEEKED).decode("utf-8-sig", "replace")
    except OSError:
        return False
    keys = {split_of(key) for key in _KEY.findall(text)} - {None}
    return len(keys) > 1 or (held and mentions(text, stems))


def is_no_data(name: str) -> bool:
    """Tell whether a file is for people, or was made to be handed in."""
    return _FOR_PEOPLE.match(own_name(name)) is not None or looks_handed_in(own_name(name))


def mentions(text: str, stems: Collection[str]) -> bool:
    """Tell whether a text names an image, by its own name with an ending or without."""
    words = {word.strip(" \"'").replace("\\", "/").rpartition("/")[2] for word in re.split(r"[,;\t|\n\r{}\[\]]", text)}
    words |= {word.strip("\"',;").rpartition("/")[2] for word in text.split()}
    return any(word in stems or word.rpartition(".")[0] in stems for word in words)
