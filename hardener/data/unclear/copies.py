"""Class folders that stand twice: `cat` and `cat - Copy`, `cat` and `cat_resized`, `cat` and `old/cat`."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hardener.config.reading import ignoring
from hardener.data.ambiguity import some
from hardener.data.node import Node
from hardener.data.split_names import small_words_of
from hardener.data.unclear.forms import FORMS
from hardener.data.unclear.name_parts import labels_by
from hardener.errors import HardenerError

_COPY = re.compile(
    r"(?P<of>.+?)(?:[\W_]+(?:another[\W_]+)?(?:copy|kopie|copie|copia|cópia|kopia|копия|副本|コピー|backup|bak)(?:[\W_]*\d+)?\W*"
    r"| \(\d+\))"
    r"|(?:copy of|kopie von|copie de|copia de|copia di) (?P<after>.+)",
    re.I,
)
"""What file managers call a copy, and people a backup."""
_COLORS = {"gray", "grey", "color", "colour"}
"""Words that begin the names of animals and things: `gray wolf` beside `wolf`."""
_ONE = {"copies": "a copy", "forms": "a form"}
_SAME = 0.8
"""The share of names of classes that a folder holds again."""


def refuse_copies(filled: Mapping[str, Node], here: str, images: Sequence[str]) -> None:
    """Refuse folders beside those that they are copies or forms of, or hold again.

    Args:
        images: all that a pattern is held against.

    Raises:
        HardenerError: it is so, and names what to pass.
    """
    copies = _copies(filled)
    if copies:
        raise HardenerError(_refusal(copies, here, "copies"))
    forms = _forms(filled)
    if 2 * len(forms) >= len(filled) and len(forms) > 1:
        raise HardenerError(_refusal(forms, here, "forms"))
    every = set(filled)
    for name, node in filled.items():
        inner = set(node.filled())
        shared = (every & inner) - {name}
        others = every - {name} if len(shared) > 1 else set()
        if others and len(shared) >= _SAME * min(len(others), len(inner)):
            raise HardenerError(
                f"{name}/ below {here} holds folders of the same names as the classes beside it ({some(shared)}). "
                f"{ignoring([node.path])} leaves it out, where it is a copy of them."
                f"{_together(others | inner, images)} If {name} is a class of its own, pass --class-depth 1."
            )


def doubts_about_forms(filled: Mapping[str, Node]) -> list[str]:
    """Tell of a folder or a few that are called like forms of classes beside: `cat`, `cat_gray`, `dog`, `cow`."""
    return [
        f"{name}/ may hold the images of {of}/ in another form, and is taken for a class of its own: "
        f"{ignoring([name])} leaves it out"
        for name, of in _forms(filled).items()
    ]


def _refusal(copies: Mapping[str, str], here: str, kind: str) -> str:
    many = len(copies) > 1
    return (
        f"{some(copies)} below {here} look{'' if many else 's'} like {kind if many else _ONE[kind]} of the images in "
        f"{some(set(copies.values()))}, not like {'classes' if many else 'a class'} of {'their' if many else 'its'} "
        f"own: what is trained on in one is tested on in another. {ignoring(sorted(copies))} leaves "
        f"{'them' if many else 'it'} out. If {'they are classes' if many else 'it is a class'}, pass --class-depth 1."
    )


def _copies(filled: Mapping[str, Node]) -> dict[str, str]:
    """Return the folders that are called like copies of others, with these."""
    names = {name.strip().casefold(): name for name in filled}
    found: dict[str, str] = {}
    for name in filled:
        told = _COPY.fullmatch(name.strip())
        of = names.get((told["of"] or told["after"]).strip().casefold()) if told else None
        if of is not None and of != name:
            found[name] = of
    return found


def _forms(filled: Mapping[str, Node]) -> dict[str, str]:
    """Return the folders whose names are another's and a word of a form, where all have one word, with the others."""
    plain = {tuple(words): name for name in filled if (words := small_words_of(name))}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name in filled:
        words = small_words_of(name)
        if len(words) > 2 and words[-1].isdecimal() and words[-2] in FORMS:  # cat_resized_224
            words = words[:-1]
        for word, rest, forms in ((words[-1:], words[:-1], FORMS), (words[:1], words[1:], FORMS - _COLORS)):
            if word and word[0] in forms and tuple(rest) in plain:
                found[word[0]][name] = plain[tuple(rest)]
    return max(found.values(), key=len, default={})


def _together(classes: set[str], images: Sequence[str]) -> str:
    """Return the way that reads the classes of both places; empty where none does."""
    pattern = "{label}/{*}"
    if set(labels_by(pattern, images).values()) != classes:
        return ""
    return f" --label-from {shlex.quote(pattern)} takes all together, where it holds other images."
