"""Levels of folders whose names repeat below each folder: 2019/{cat,dog}, 2020/{cat,dog}. Either may be the classes."""

from __future__ import annotations

import itertools
import math
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hardener.config.reading import ignoring
from hardener.data.ambiguity import one_and_another, some
from hardener.data.node import Node
from hardener.data.split_names import first_split, looks_drawn, own_name, says_nothing
from hardener.data.unclear.forms import in_forms
from hardener.data.unclear.name_parts import classes_of, labels_by, one_varies, told, without
from hardener.errors import HardenerError

_STRAY = 0.2
"""The share of a folder's images that may lie beside its folders, and say nothing of what these are."""
_DEEPEST = 6
_SPARSE = 20
"""Numbers of files are running ones where the highest is less than so many times how many there are."""
_FEW = 12
"""Names that a pattern lists one by one."""
_SURE = 0.8
"""The share of folders that hold one of the names which most hold."""
DIVIDED = " (what is drawn divides the images of a folder, unless data.group_by keeps them together)"
_NUMBERED = re.compile(r"^(?!.*class).*\d", re.I)
"""Names that have a number, and do not say that it is a class's."""
_ONLY_DIGITS = re.compile(r"[\d\W_]*\d[\d\W_]*")
_COUNT = re.compile(r"[\W_]*\d+$")
_COUNT_OR_LETTER = re.compile(r"(?:^|[\W_]*)(?:\d+|(?<=[\W_])[a-z])$", re.I)
_GRADED = re.compile(r"class|label|grade|level|type|stage|score|kind|categor|degree|severity|rating|quality", re.I)


@dataclass(frozen=True)
class Repeated:
    """Names that repeat.

    Attributes:
        names: as classes, without numbers and the names of the folders that they lie in.
        example: a folder of each of the first two that hold them.
        near: no names but these lie between them and the first folders.
        all: every one of the first folders holds all of them, or all of those that any two share.
        pattern: for `--label-from`; None where no pattern reads them, and nothing else.
        ignored: names of folders beside them that hold drawings.
    """

    names: tuple[str, ...]
    example: tuple[str, ...]
    near: bool
    all: bool
    pattern: str | None
    ignored: tuple[str, ...]

    @property
    def way(self) -> str:
        """The options that take them for the classes; empty where there are none."""
        if self.pattern is None:
            return ""
        leave = f"{ignoring(self.ignored)} " if self.ignored else ""
        return f"{leave}--label-from {shlex.quote(self.pattern)}"


@dataclass(frozen=True)
class _Level:
    """One level: for each of the first folders, the folders that lie so deep, by their paths."""

    below: Mapping[str, list[Node]]
    ignored: tuple[str, ...]

    def deeper(self) -> _Level:
        """Return the next level, without drawings beside images."""
        below: dict[str, list[Node]] = {}
        ignored = set(self.ignored)
        for branch, nodes in self.below.items():
            below[branch] = []
            for node in nodes:
                filled = node.filled()
                drawn = {name for name in filled if looks_drawn(name)}
                drawn = drawn if len(drawn) < len(filled) else set()
                ignored |= drawn
                below[branch] += [child for name, child in filled.items() if name not in drawn]
        return _Level(below, tuple(sorted(ignored)))


def repeated(filled: Mapping[str, Node], images: Sequence[str]) -> Repeated | None:
    """Find the first level below some folders whose names repeat in them; None where none do.

    Args:
        images: all that a pattern is held against.
    """
    level, near = _Level({name: [node] for name, node in filled.items()}, ()), True
    for _ in range(_DEEPEST):
        level = level.deeper()
        if not all(level.below.values()):
            return None
        found = _named(level, near, images)
        if found is not None:
            return found
        near &= all(len(nodes) == 1 for nodes in level.below.values())
    return None


def _named(level: _Level, near: bool, images: Sequence[str]) -> Repeated | None:
    """See whether the names of a level repeat: as they stand, without their folder's name, or but for numbers."""
    names = {node.path: node.path.rpartition("/")[2] for nodes in level.below.values() for node in nodes}
    own = {path: without(name, path.split("/")[-2]) for path, name in names.items()}
    ways: list[tuple[dict[str, str], str | None]] = [(names, "{label}")]
    if not any(own[path] == name or re.search(r"\d", own[path]) for path, name in names.items()):
        ways.append((own, None))
    varied = one_varies(names.values())
    if varied is not None and len(set(varied[1].values())) < len(varied[1]):  # numbers are all that others differ by
        ways.insert(0, ({path: varied[1][name] for path, name in names.items()}, varied[0]))
    for labels, pattern in ways:
        sets = [{labels[node.path] for node in nodes} for nodes in level.below.values()]
        shared = _shared(sets)
        if len(shared) < 2 or (not near and all(map(str.isdecimal, shared)) and shared != {"0", "1"}):
            continue
        every = set.union(*sets)
        seen = [name for name in images if not level.ignored or not set(level.ignored) & set(name.split("/")[:-1])]
        patterns = _patterns(pattern, labels, [name for nodes in level.below.values() for name in _images(nodes)])
        return Repeated(
            tuple(sorted(every)),
            tuple(nodes[0].path for nodes in list(level.below.values())[:2]),
            near,
            all(own == every for own in sets),
            next((full for full in patterns if set(labels_by(full, seen).values()) == every), None),
            level.ignored,
        )
    return None


def _shared(sets: Sequence[set[str]]) -> set[str]:
    """Return the telling names that all hold, or that most do; empty where it is no rule."""
    telling = [{name for name in own if not says_nothing(name)} for own in sets]
    every = set.union(*telling)
    if len(sets) < 2 or len(every) < 2:
        return set()
    shared = set.intersection(*telling)
    if len(shared) >= 2 and 2 * len(shared) >= len(every):
        return shared
    counts = Counter(name for own in telling for name in own)
    if every in telling and len(every) <= _FEW and (len(sets) == 2 or min(counts.values()) > 1):
        return every  # patients with both of 0 and 1, and others with one of them
    most = {name for name, count in counts.items() if 2 * count > len(sets)}
    kept = sum(count for name, count in counts.items() if name in most)
    return most if len(sets) > 2 and kept >= _SURE * counts.total() else set()


def _images(nodes: Iterable[Node]) -> list[str]:
    return [name for node in nodes for name in node.images()]


def _patterns(folder: str | None, labels: Mapping[str, str], images: Sequence[str]) -> list[str]:
    """Return the patterns that may read folders' names, the shortest first; none where images lie unequally deep.

    Args:
        folder: how its name is written; None where it holds the name of the folder above.
        labels: of each folder, by its path.
    """
    folders_deep, images_deep = {path.count("/") for path in labels}, {image.count("/") for image in images}
    if len(folders_deep) != 1 or len(images_deep) != 1:
        return []
    inner = images_deep.pop() - folders_deep.pop()
    ways = [] if folder is None else ["/".join([folder, *["{*}"] * inner])]
    ways += [f"{{*}}/{way}" for way in ways]
    names = sorted(set(labels.values()))
    if len(names) <= _FEW:
        word = f"(?P<label>{'|'.join(map(re.escape, names))})"
        ways += ["/".join([f"(?:^|/){_with_own(word, labels)}", *["[^/]+"] * inner]) + "$"]
    return ways


def _with_own(word: str, labels: Mapping[str, str]) -> str:
    """Return the pattern of folders' names that are a label and the name of the folder above: `CD` in `D/`."""
    whole = [(path.split("/")[-1], path.split("/")[-2], label) for path, label in labels.items()]
    if all(name == label for name, _, label in whole):
        return word
    above = "|".join(sorted({re.escape(own) for _, own, _ in whole}))
    first = all(name.startswith(label) for name, _, label in whole)
    return rf"{word}[\W_]*(?:{above})" if first else rf"(?:{above})[\W_]*{word}"


def refuse_repeated(filled: Mapping[str, Node], here: str, images: Sequence[str]) -> None:
    """Refuse `2019/{cat,dog}`, `2020/{cat,dog}`: either level may be the classes.

    Raises:
        HardenerError: it is so, and names what to pass.
    """
    if all(node.is_leaf for node in filled.values()) and len(filled) > 1 and hold_the_same(filled.values()):
        kept, *rest = sorted(filled)
        raise HardenerError(
            f"the folders below {here} ({some(filled)}) hold files of the same names, so they look like forms of the "
            f"same images, not like classes. {ignoring(rest)} takes {kept} alone. If they are the classes, pass "
            "--class-depth 1."
        )
    if any(len(node.own) > _STRAY * node.count for node in filled.values()):
        return
    drawn = [name for name in filled if looks_drawn(name)]
    found = repeated(filled, images)
    if found is None or not found.near:
        return
    if drawn and len(drawn) < len(filled):
        raise HardenerError(
            f"the folders below {here} ({some(filled)}) all hold the same ones ({some(found.names)}), and "
            f"{some(drawn)} looks like what was drawn on the images of the others. {ignoring(drawn)} leaves it out. If "
            "they are the classes, pass --class-depth 1."
        )
    start = f"the folders below {here} ({some(filled)}) {_hold(found, filled)}"
    if forms := in_forms(filled):
        same = " Their files have the same names." if hold_the_same(filled.values()) else ""
        raise HardenerError(f"{start}, and look like forms of the same images.{same} {forms}")
    if derived := _made_of(filled):
        raise HardenerError(f"{start}, and {derived} If they are the classes, pass --class-depth 1.")
    first = f"--class-depth 1 takes {some(filled)}"
    others = f"{_together(found, filled, here, images)}{_same_files(filled)}".strip()
    if _are_counted(found.names) and not _are_counted(filled):  # of clips, persons or samples
        first, others = f"{first}{DIVIDED};", others.replace(DIVIDED, "").removesuffix(";") + "."
    else:
        first, others = others, f"{first}."
    raise HardenerError(f"{start}, and either may be the classes.{_deepest(found, filled)} {first} {others}")


def doubts_about_levels(filled: Mapping[str, Node], images: Sequence[str]) -> list[str]:
    """Tell of names that repeat deeper: `elbow/patient1/study1_negative`, `hand/patient2/study1_positive`."""
    found = repeated(filled, images)
    if found is None or found.near or not found.way:
        return []
    return [
        f"the same names repeat below each of {some(filled)}, as in {' and '.join(found.example)}: if they are the "
        f"classes, pass {found.way}, which gives {classes_of(found.names)}"
    ]


def doubts_about_codes(filled: Mapping[str, Node], here: str) -> list[str]:
    """Tell of files whose names end alike in every folder: `AF01/AF01HA`, `AM02/AM02HA`, or `s1/happy`, `s2/happy`.

    Raises:
        HardenerError: their numbers are the same too, and the folders are called by numbers: `001_f/mask2`.
    """
    codes = {name: _codes(name, node) for name, node in filled.items()}
    if len(codes) < 3 or not all(node.is_leaf for node in filled.values()):
        return []
    every, shared = set.union(*codes.values()), set.intersection(*codes.values())
    kinds = {_COUNT.sub("", code) for code in every}
    if len(shared) < _SURE * len(every) or len(kinds) < 2 or any(re.search(r"\d", kind) or not kind for kind in kinds):
        return []
    if kinds != every and (not all(map(_NUMBERED.search, filled)) or any(map(says_nothing, kinds))):
        return []  # shirt/front_1, shoe/front_1; class_1/IMG_1, class_2/IMG_1
    images = [image for node in filled.values() for image in node.images()]
    starts = _starts(kinds)
    words = "|".join(map(re.escape, sorted(starts)))
    ends = {kind[len(start) :] for kind in kinds for start in starts if kind.startswith(start)}
    behind = "" if ends == {""} else f"(?:{'|'.join(map(re.escape, sorted(ends)))})"
    behind += r"[\W_]*\d*" if kinds != every else ""
    pattern = rf"(?P<label>{words}){behind}\.[^./]+$"
    sure = len(starts) <= 2 * _FEW and set(labels_by(pattern, images).values()) == starts
    alike = f"({some(kinds)}), so the folders may be persons, places or cameras"
    if kinds != every and _are_persons(filled):
        way = f" {told(pattern, images)}{DIVIDED};" if sure else ""
        raise HardenerError(
            f"the names of the files end alike in every folder of {here} {alike}.{way} --class-depth 1 takes "
            f"{some(filled)}."
        )
    way = f": pass --label-from {shlex.quote(pattern)}, which gives {classes_of(starts)}" if sure else ""
    return [f"the names of the files end alike in every folder {alike}. If these ends tell the classes, read them{way}"]


def _are_persons(names: Collection[str]) -> bool:
    """Tell whether names begin with running numbers and tell little more: `001_f_45`, and no `001.Crow` or `grade1`."""
    rest = [re.sub(r"\d+", "", name) for name in names]
    return all(re.match(r"0\d", name) and not name.isdecimal() for name in names) and len(set(rest)) < len(rest)


def _codes(name: str, node: Node) -> set[str]:
    return {without(own_name(image), name) for image in node.own}


def _starts(codes: set[str]) -> set[str]:
    """Return what codes begin with, where each beginning goes with each end (AFS, AFFL, HAS, HAFL); else themselves."""
    for length in range(1, min(map(len, codes))):
        starts, ends = {code[:length] for code in codes}, {code[length:] for code in codes}
        if min(len(starts), len(ends)) > 1 and len(starts) * len(ends) == len(codes):
            return starts
    return codes


def _are_counted(names: Collection[str]) -> bool:
    """Tell whether names are numbers, or one word and a number or letter (`sample_a`), and not a grade's or class's."""
    if all(map(_ONLY_DIGITS.fullmatch, names)):  # 0001-1000, 2023-11-02
        return True
    stems = {_COUNT_OR_LETTER.sub("", name).lower() for name in names}
    return stems == {""} or (len(stems) == 1 and len(names) > 1 and not any(map(_GRADED.search, stems)))


def _hold(found: Repeated, filled: Mapping[str, Node]) -> str:
    plain = all(way.rpartition("/")[2] in found.names for way in found.example)
    plain &= {way.count("/") for way in found.example} == {node.path.count("/") + 1 for node in filled.values()}
    shown = some(found.names) + ("" if plain else f": {', '.join(found.example)}")
    return f"{'all' if found.all else 'nearly all'} hold the same ones ({shown})"


def _together(found: Repeated, filled: Mapping[str, Node], here: str, images: Sequence[str]) -> str:
    """Return the ways that take the inner names for the classes."""
    if found.pattern is None:
        return f" {one_and_another(here, list(filled))};"
    together = f" {found.way} takes all of them together, with {classes_of(found.names)}"
    largest = sorted(filled, key=lambda name: (-filled[name].count, name))
    held = dict(zip(largest[: 2 if len(filled) > 2 else 1], ("--val", "--test"), strict=False))
    starts = tuple(f"{filled[name].path}/" for name in held)
    rest = labels_by(found.pattern, [name for name in images if not name.startswith(starts)])
    if first_split(filled[largest[0]].path.split("/")[:-1]):
        return f"{together}{DIVIDED};"
    together += ", and draws the images to validate and to test on from each;"
    if not set(found.names) <= set(rest.values()):
        return together
    whole = " ".join(f"{option} {shlex.quote(f'{here}/{name}')}" for name, option in held.items())
    return (
        f"{together} {found.way} {ignoring(filled[name].path for name in held)} {whole} keeps "
        f"{' and '.join(held)} whole and out of training;"
    )


def _same_files(filled: Mapping[str, Node]) -> str:
    """Say so where the folders hold files of the same names: they may be other forms of the same images."""
    if not hold_the_same(filled.values()):
        return ""
    rest = sorted(filled)[1:]
    return (
        f" Their files have the same names: if they show the same images, take one of the folders alone, "
        f"{ignoring(rest)}, or an image that is trained on is tested on too;"
    )


def _deepest(found: Repeated, filled: Mapping[str, Node]) -> str:
    """Return the way that takes the deepest folders, where they are more, and of one of the first folders each."""
    branches: dict[str, set[str]] = {}
    for name, node in filled.items():
        for image in node.images():
            branches.setdefault(image.split("/")[-2], set()).add(name)
    if any(image.count("/") - 1 <= found.example[0].count("/") for node in filled.values() for image in node.images()):
        return ""
    own = [leaf for leaf, names in branches.items() if len(names) == 1]
    if len(branches) <= len(found.names) or len(own) < _SURE * len(branches) or _are_counted(branches):
        return ""
    return f" --class-depth leaf takes the deepest folders, with {classes_of(branches)};"


def _made_of(filled: Mapping[str, Node]) -> str:
    """Return what to say where one folder's files are called after another's: `a (1)_0.png` after `a (1).jpg`."""
    stems = {name: [own_name(image) for image in node.images()] for name, node in filled.items()}
    for source, made in itertools.permutations(stems, 2) if len(stems) == 2 else ():
        known = set(stems[source])
        after = {stem: of for stem in stems[made] if (of := begins_with(stem, known))}
        if len(after) >= _SURE * len(stems[made]) and len(set(after.values())) > 1:
            stem = next(iter(after))
            return (
                f"the files of {made}/ are called after those of {source}/, as {stem} after {after[stem]}, so they "
                "look made of them: an image that is trained on would be tested on in its other form. "
                f"{ignoring([source])} takes {made} alone, and {ignoring([made])} takes {source} alone."
            )
    return ""


def begins_with(stem: str, known: Collection[str]) -> str | None:
    """Return the longest beginning of a name, up to a mark, that is another's whole name; None where none is."""
    ends = reversed([place for place, sign in enumerate(stem) if not sign.isalnum()])
    return next((stem[:end] for end in ends if stem[:end] in known), None)


def hold_the_same(nodes: Iterable[Node]) -> bool:
    """Tell whether folders hold files of the same names, and names that are no running numbers."""
    inside = [{name[len(node.path) + 1 :].rpartition(".")[0] for name in node.images()} for node in nodes]
    shared = set.intersection(*inside)
    numbers = sorted({int("".join(re.findall(r"\d", name.rpartition("/")[2])) or 0) for name in shared})
    gaps = {after - before for before, after in itertools.pairwise(numbers)}
    sparse = len(gaps) > 1 and min(numbers[-1], _span(shared)) > _SPARSE * len(numbers)
    return sparse and len(shared) >= _SURE * max(map(len, inside))


def _span(names: Iterable[str]) -> float:
    """Return how many names the numbers in some could make, where each has several: 3 times 5 of `0_0` to `2_4`."""
    found = [[int(number) for number in re.findall(r"\d+", name.rpartition("/")[2])] for name in names]
    if len(set(map(len, found))) != 1 or len(found[0]) < 2:
        return math.inf
    spans: list[int] = [max(values) - min(values) + 1 for values in zip(*found, strict=True)]
    return math.prod(spans)
