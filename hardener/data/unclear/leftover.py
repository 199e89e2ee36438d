"""Folders beside classes that are hardly classes: what a run has put out, what has no class yet, what was taken out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from hardener.config.reading import ignoring
from hardener.data.ambiguity import by_names, some
from hardener.data.node import Node
from hardener.data.split_names import looks_unlabelled, own_name, small_words_of, split_of
from hardener.data.unclear.ids import NO_TABLE
from hardener.data.unclear.leftover_words import (
    COPIES,
    FILLERS,
    PLAIN,
    TAKEN_OUT,
    UNSORTED,
    plain_letters,
    words_in_any_letters,
)
from hardener.errors import HardenerError

_UNDONE = "label|labels|labell?ing|sort|check|review|do|annotate|classify|tag|fix|crop|process|decide|identify"
_PLAIN = "a folder of images as such"
_KINDS = {
    "the output of an earlier run": (
        "predictions?|preds?|predicted|results?|outputs?|infer|inferences?|detections|runs|exports?|exported|grad ?cam|"
        "saliency|visuali[sz]ations?|vis|misclassified|submissions?"
    ),
    "images that have no class yet": (
        "unsorted|unlabell?ed|unclassified|uncategori[sz]ed|unannotated|untagged|unassigned|unreviewed|unchecked|"
        "unverified|unsure|undecided|misc|miscellaneous|inbox|incoming|pending|todo|untitled|unnamed|new|later|"
        f"(?:to|2) (?:be )?(?:{_UNDONE}|(?:label|sort|check|review|annotat|classifi|tagg|fix|process)\\w*ed)|tolabel|"
        "tosort|not (?:sure|yet|labell?ed|sorted|checked|classified|annotated)|"
        f"needs? (?:{_UNDONE})\\w*|(?:label|sort|check|review) (?:me|later|this|these)|{plain_letters(UNSORTED)}"
    ),
    "images that were taken out": (
        "deleted?|removed|discard(?:s|ed)?|reject(?:s|ed)?|excluded?|unused|ignored?|skipped|duplicates?|dupes?|"
        "dups?|recycled? bin|trashed|outtakes|leftovers?|left over|quarantined?|to (?:delete|remove)|"
        f"do ?n[o']?t use|not used|{plain_letters(TAKEN_OUT)}"
    ),
    "copies that were put aside": (
        "backups?|back up|bkp?|bak|old|copy|archived?|tmp|temp|temporary|caches?|cached|thumbnails?|thumbs|"
        f"{plain_letters(COPIES)}"
    ),
    _PLAIN: (
        "images?|imgs?|data|datasets?|samples?|examples?|all|everything|extras?|combined|"
        f"(?:{plain_letters(PLAIN)})(?: (?:{plain_letters(FILLERS)}))?"
    ),
}
"""What a folder may hold, and the words that say so, in small letters and with one space between them."""
_FILLER = (
    r"\d+|v|x+|z+|images?|imgs?|photos?|pictures?|pics?|files?|data|datasets?|folders?|dirs?|stuff|things|my|our|the|of|"
    "for|from|in|by|all|more|some|still|here|ones|cases|model|cnn|yolo|test|val|validation|train|training|final|last|"
    "first|best|raw|batch|set|original|orig|manually|manual|auto|please|version|class|label|labels|exp|run|"
    f"{plain_letters(FILLERS)}"
)
_ANY = "|".join(_KINDS.values())
_HARDLY = re.compile(rf"\b(?:{_ANY})\b")
_NOTHING_ELSE = re.compile(rf"(?:(?:{_ANY}|{_FILLER})(?: |$))+")
_FOUND = {
    kind: re.compile(rf"^(?:{keys})(?: \d+)?$" if kind == _PLAIN else rf"\b(?:{keys})\b")
    for kind, keys in _KINDS.items()
}
_OPPOSITES = {
    "old": "new young fresh modern recent adult child children baby kid middle teen aged ancient current",
    "new": "old used worn aged vintage ancient",
    "copy": "original originals genuine real fake forged",
    "rejected": "accepted approved passed pass accept ok good",
    "reject": "accept accepted approved pass ok good",
    "removed": "present kept added inpainted",
    "excluded": "included",
    "unused": "used",
    "duplicate": "unique original distinct",
    "duplicates": "unique original originals distinct",
    "pending": "approved done delivered finished paid",
    "deleted": "inserted added kept",
    "ignored": "attended read answered",
    "output": "input",
    "outputs": "inputs",
    "sample": "control blank reference",
    "samples": "controls blanks references",
    "vis": "ir nir infrared thermal swir",
    "image": "text",
    "images": "text texts",
    "data": "text texts noise",
}
"""Words of other folders beside which a word names a class: old and young, rejected and accepted."""
_ASIDE = re.compile(r"[_~#!$@(\[]")
_SHARED = 0.8
"""The share of a folder's file names that others have too, where it holds their images again."""
_FEWEST = 3


def hardly_classes(names: Iterable[str]) -> dict[str, str]:
    """Return what the folders among some hold that are hardly classes, by their names; nothing where all are such."""
    every = sorted(names)
    words = {name: _words(name) for name in every}
    counts = Counter(word for own in words.values() for word in set(own))
    marked = [name for name in every if _ASIDE.match(name)]
    found = {}
    for name in every:
        own = set(words[name]) if _may_be(name, words[name]) else set()
        beside = {word for word, count in counts.items() if count > (word in own)} if own else set()
        if own and (kind := _kind(name, words[name], beside)):
            found[name] = kind
        elif marked == [name] and len(every) > 2:
            found[name] = "a folder that was put aside"
    return found if len(found) < len(every) else {}


def _words(name: str) -> list[str]:
    return small_words_of(name) if name.isascii() else words_in_any_letters(name)


def _may_be(name: str, words: Sequence[str]) -> bool:
    """Tell whether a name holds a word that says so; most hold none, and are not looked at further."""
    return _HARDLY.search(" ".join(words)) is not None or looks_unlabelled(name)


def _kind(name: str, words: list[str], beside: set[str]) -> str | None:
    """Return what a folder holds whose name has no other words than such, those of other folders, and fillers."""
    if any(_negates(word, beside) for word in words):
        return None
    text = " ".join(words)
    known = " ".join("my" if word in beside else word for word in words)  # a filler in place of another folder's word
    if not (_NOTHING_ELSE.fullmatch(text) or _NOTHING_ELSE.fullmatch(known)):
        return "images that have no class yet" if looks_unlabelled(name) else None
    return next((kind for kind, keys in _FOUND.items() if keys.search(text)), None)


def _negates(word: str, beside: set[str]) -> bool:
    """Tell whether a word names a class since another folder is called by its opposite: unsorted and sorted."""
    return _is_opposite(word, beside) or (word.startswith("un") and word[2:] in beside)


def _is_opposite(word: str, beside: set[str]) -> bool:
    return not beside.isdisjoint(_OPPOSITES.get(word, "").split())


def refuse_leftovers(filled: Mapping[str, Node], here: str) -> None:
    """Refuse `dataset/cats` beside `predictions/`, `predictions/cats` beside `cats/`, and images that lie there again.

    Raises:
        HardenerError: it is so; it names what to leave out.
    """
    hardly = hardly_classes(filled)
    rest = {name: node for name, node in filled.items() if name not in hardly}
    if (whole := _one_set(filled)) is not None:
        sure = [name for name in filled if name != whole]
        hardly, why = _kinds(sure, beside=whole), f"and {whole}/ has the folders {some(filled[whole].filled())}"
    elif sure := [name for name in hardly if _holds_the_same_classes(filled[name], rest)]:
        why = f"and {sure[0]}/ has folders of the same names as those beside it"
    elif sure := [name for name in hardly if _holds_the_same_files(filled[name], rest)]:
        if hardly[sure[0]] == _PLAIN and len(filled[sure[0]].filled()) > 1:  # images/cat beside rotated/
            raise HardenerError(
                f"the files of {some(f'{name}/' for name in rest)} below {here} are called like those in the folders "
                f"of {sure[0]}/, so they look like other forms of the same images. {ignoring(rest)} takes {sure[0]} "
                f"alone. If all folders there ({some(filled)}) are classes, pass --class-depth 1."
            )
        why = "and its files are called like those of the folders beside it"
    else:
        return
    one = len(sure) == 1
    raise HardenerError(
        f"{some(f'{name}/' for name in sure)} below {here} {'looks' if one else 'look'} like {hardly[sure[0]]}, not "
        f"like {'a class' if one else 'classes'}, {why}. {ignoring(sure)} leaves {'it' if one else 'them'} out. If all "
        f"folders there ({some(filled)}) are classes, pass --class-depth 1."
    )


def refuse_flat_splits(named: Mapping[str, str], filled: Mapping[str, Node], here: str) -> None:
    """Refuse images that lie flat in `train/` and `test/`, beside folders that are hardly classes.

    Args:
        named: folders that are called like splits, each with what tells the split.
    Raises:
        HardenerError: it is so.
    """
    splits = set(map(split_of, named.values()))
    others = {name: node for name, node in filled.items() if name not in named}
    if "train" not in splits or len(splits) < 2 or len(_kinds(others)) < len(others):
        return
    first = next(name for name, own in named.items() if split_of(own) == "train")
    raise HardenerError(
        f"{here} has split folders ({some(named)}) without class folders, and beside them {some(others)}. Put each "
        f"class in its own folder: {here}/{first}/cat/001.jpg. {ignoring(others)} leaves what lies beside out."
        f"{by_names([name for own in named for name in filled[own].images()])} If all folders there are classes, pass "
        "--class-depth 1."
    )


def _one_set(filled: Mapping[str, Node]) -> str | None:
    """Return the one folder of class folders beside which all others are hardly classes: `labeled/`, `unlabeled/`."""
    deep = [name for name, node in filled.items() if len(node.filled()) > 1]
    if len(deep) != 1 or len(filled) < 2:
        return None
    (whole,) = deep
    others = [name for name in filled if name != whole]
    sure = len(_kinds(others, beside=whole)) == len(others)
    return whole if sure and _kinds([whole]).get(whole, _PLAIN) == _PLAIN else None


def _kinds(names: Iterable[str], beside: str = "") -> dict[str, str]:
    """Return what folders hold that are hardly classes, unless the one beside them is called by the opposite."""
    other = set(_words(beside))
    own = {name: _words(name) for name in names}
    kinds = {
        name: _kind(name, words, set())
        for name, words in own.items()
        if not any(_is_opposite(word, other) for word in words)
    }
    return {name: kind for name, kind in kinds.items() if kind is not None}


def doubts_about_leftovers(filled: Mapping[str, Node]) -> list[str]:
    """Tell of folders beside classes, and inside them, that are hardly classes: `unsorted/`, `cats/_deleted/`."""
    beside = [
        f"{name}/ looks like {kind}, and is taken for a class like the rest: {ignoring([name])} leaves it out"
        for name, kind in hardly_classes(filled).items()
    ]
    inner: dict[str, tuple[str, str]] = {}
    for name, node in filled.items():
        if node.own:
            for below in node.filled():
                if (kind := _kind(below, _words(below), set())) is not None:
                    inner.setdefault(below, (f"{name}/{below}", kind))
    return beside + [
        f"{path}/ looks like {kind}, and is taken for images of the class like the rest: {ignoring([below])} leaves it "
        "out"
        for below, (path, kind) in inner.items()
        if kind != _PLAIN
    ]


def said_once(doubts: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return doubts and what is said of tables, without doubts that leave out the same, or that ask for a table.

    Args:
        others: what is said of tables.
    """
    told = list(others)
    doubts = [doubt for doubt in doubts if not told or NO_TABLE not in doubt]
    lines = {doubt: f"{doubt.rpartition(': ')[2].partition(' leave')[0]} " for doubt in doubts}
    return [one for one, line in lines.items() if not any(line in f"{other} " for other in told)] + told


def _holds_the_same_classes(node: Node, rest: Mapping[str, Node]) -> bool:
    inner = set(node.filled())
    return len(inner & set(rest)) > 1 and 2 * len(inner & set(rest)) >= len(inner)


def _holds_the_same_files(node: Node, rest: Mapping[str, Node]) -> bool:
    """Tell whether a folder's files are called like those of others, which share no names among themselves."""
    own = set(map(own_name, node.images()))
    counts = Counter(name for other in rest.values() for name in set(map(own_name, other.images())))
    if len(rest) < 2 or len(own) < _FEWEST or counts.total() > len(counts) / _SHARED:
        return False
    return len(own & counts.keys()) >= _SHARED * len(own)
