"""What parts of names tell: `CHNCXR_0001_0`, `study1_negative`. Patterns are tried before they are given."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hardener.data.layouts._pattern import compiled, folders_in, guess, matched
from hardener.data.split_names import own_name, says_nothing, splits_of_folders
from hardener.words import listed

_MARK = re.compile(r"([\W_]+)")
_BRACE = re.compile(r"[{}]")  # patterns use them
_COUNTED = re.compile(r"(\D+)\d+")  # AN1, AN2
_RUNNING = re.compile(r"0\d+")  # 001 at the end of a name
_ALIKE = 0.9
"""The share of names of one shape without which the names of a folder have none."""
_EACH = 4
"""Images that a class has on average, where a part of a name is to be one."""
_DIGITS = 4  # of a number that may be a class; longer ones are dates and ids
_SHOWN = 4


@dataclass(frozen=True)
class Shape:
    """Names of one shape: the marks between their parts, and for each part its values in the names' order."""

    marks: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    whole: bool  # every name has the shape

    def written(self, place: int, word: str = "{label}") -> str:
        """Return the pattern that takes the part at a place for the label."""
        words, marks = [_written(values) for values in self.parts], [*self.marks, ""]
        words[place] = word
        if self.whole and place + 1 < len(words):  # nothing else fits: what follows need not be told
            words, marks = [*words[: place + 1], "{*}"], [*marks[: place + 1], ""]
        return "".join(word + mark for word, mark in zip(words, marks, strict=True))


def shape_of(names: Iterable[str]) -> Shape | None:
    """Return the shape that nearly all names have; None where they have none, or one part alone."""
    split = [_MARK.split(name) for name in names if not _BRACE.search(name)]
    marks = Counter(tuple(parts[1::2]) for parts in split)
    if not marks:
        return None
    (most, count), *_ = marks.most_common(1)
    if not most or count < _ALIKE * len(split):
        return None
    rows = [parts[::2] for parts in split if tuple(parts[1::2]) == most]
    return Shape(most, tuple(zip(*rows, strict=True)), count == len(split))


def sure_pattern(names: Sequence[str]) -> str | None:
    """Return the pattern that plainly reads classes; None where there is none, or a split has others than train."""
    pattern = guess(names)
    labels = {} if pattern is None else labels_by(pattern, names)
    if _differ(labels) or (crossed(labels.values()) and telling_parts(names)):  # 4711A_OK: a product and its state
        return None
    return pattern


def crossed(names: Iterable[str]) -> tuple[set[str], set[str]] | None:
    """Return the two parts that names are made of, where each of one goes with each of the other; else None."""
    found = set(names)
    for cut in (r"([^\W_]+)[\W_]+(.+)", r"(.+)[\W_]+([^\W_]+)", r"([^\W\d_]+)[\W_]*(\d.*)", r"(\d+)[\W_]*([^\W\d_]+)"):
        pairs = {match.groups() for name in found if (match := re.fullmatch(cut, name))}
        first, second = {one for one, _ in pairs}, {other for _, other in pairs}
        if len(pairs) == len(found) == len(first) * len(second) and min(len(first), len(second)) > 1:
            return first, second
    return None


def telling_parts(names: Sequence[str]) -> list[str]:
    """Return the patterns by which a part of the names of files may be a class, words before numbers."""
    own = [own_name(name) for name in names]
    shape = shape_of(own)
    if shape is None:
        return []
    fit: list[tuple[bool, str]] = []
    for place, values in enumerate(shape.parts):
        counted = [_COUNTED.fullmatch(value) for value in values]
        words = [found[1] for found in counted if found is not None]
        if len(words) == len(values) and _may_be_classes(words):
            fit.append((False, shape.written(place, "{label}{#}")))
        elif _may_be_classes(values) and not (place == len(shape.parts) - 1 and any(map(_RUNNING.fullmatch, values))):
            fit.append((any(map(str.isdecimal, values)), shape.written(place)))
    patterns = [pattern for _, pattern in sorted(fit, key=lambda found: found[0])]
    whole = [pattern if pattern.endswith("{*}") else f"{pattern}.{{*}}" for pattern in patterns]
    return [pattern for pattern in whole if not _differ(labels_by(pattern, names))]


def _differ(labels: Mapping[str, str]) -> bool:
    """Tell whether a split has labels that train lacks: `negtrain`, `negtest`."""
    of_split: dict[str | None, set[str]] = {}
    of_folder = splits_of_folders(labels)
    for name, label in labels.items():
        of_split.setdefault(of_folder[name.rpartition("/")[0]], set()).add(label)
    return any(not found <= of_split.get("train", found) for found in of_split.values())


def labels_by(pattern: str, names: Iterable[str]) -> dict[str, str]:
    """Return the label that a pattern reads from each name that it fits."""
    shape, folders = compiled(pattern), folders_in(pattern)
    found = ((name, matched(shape, name, folders)) for name in names)
    return {name: match["label"] for name, match in found if match is not None}


def told(pattern: str, names: Iterable[str]) -> str:
    """Return the option with a pattern, and what it gives: `--label-from P gives 2 classes (0, 1)`."""
    return f"--label-from {shlex.quote(pattern)} gives {classes_of(labels_by(pattern, names).values())}"


def classes_of(labels: Iterable[str]) -> str:
    """Return how many classes there are, and the first few: `3 classes (cat, cow, dog)`."""
    found = sorted(set(labels))
    return f"{len(found)} classes ({listed(found[:5], 5)}{', …' if len(found) > 5 else ''})"


def may_be(patterns: Sequence[str], names: Sequence[str]) -> str:
    """Return the sentence that offers patterns, each with what it gives; empty where there is none."""
    if not patterns:
        return ""
    ways = "; ".join(told(pattern, names) for pattern in patterns[:_SHOWN])
    return f" A part of the names of its images may be the class. If so, pass the pattern of that part: {ways}."


def without(name: str, other: str) -> str:
    """Return a name without another that it begins or ends with: `CD` in `D/` is `C`, `AF01AFS` in `AF01/` is `AFS`."""
    if len(name) > len(other) and name.lower().startswith(other.lower()):
        return name[len(other) :].strip(" _-.")
    if len(name) > len(other) and name.lower().endswith(other.lower()):
        return name[: -len(other)].strip(" _-.")
    return name


def one_varies(names: Iterable[str]) -> tuple[str, Mapping[str, str]] | None:
    """Return the pattern of names that differ by one word and by numbers, and the word of each: `study1_negative`."""
    found = sorted(set(names))
    shape = shape_of(found)
    if shape is None or not shape.whole:
        return None
    words = [place for place, values in enumerate(shape.parts) if "*" in _written(values)]
    if len(words) != 1 or any(any(map(str.isdecimal, value)) for value in shape.parts[words[0]]):
        return None
    values = shape.parts[words[0]]
    if any(map(says_nothing, values)):
        return None
    return Shape(shape.marks, shape.parts, False).written(words[0]), dict(zip(found, values, strict=True))


def _written(values: Sequence[str]) -> str:
    """Write the values of a part: itself where all are one, `{#}` for numbers, `study{#}`, else `{*}`."""
    kinds = {re.sub(r"\d+", "{#}", value) for value in values}
    return values[0] if len(set(values)) == 1 else kinds.pop() if len(kinds) == 1 else "{*}"


def _may_be_classes(values: Sequence[str]) -> bool:
    counts = Counter(values)
    if not 2 <= len(counts) <= len(values) / _EACH or min(counts.values()) < 2 or "" in counts:
        return False
    return all(not value.isdecimal() or len(value) <= _DIGITS for value in counts)
