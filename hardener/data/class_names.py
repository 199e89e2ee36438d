"""Class names that are the same to a reader and not to a computer."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

from hardener.errors import HardenerError


def refuse_alike(names: Mapping[str, Iterable[str]]) -> None:
    """See that no two class names differ only by case, spaces or the form of their letters.

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
    raise HardenerError(
        f"class names differ only by {_difference(list(alike[0]))}: {told}. They would be classes of their own. "
        f"Give all of them one name, such as {unicodedata.normalize('NFC', ' '.join(first.split()))!r}."
    )


def _key(name: str) -> str:
    return "".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).split())


def _difference(names: list[str]) -> str:
    first, second = names[:2]
    if unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second):
        return "the Unicode form of their letters (NFC, NFD)"
    if "".join(first.split()) == "".join(second.split()):
        return "spaces"
    return "case" if len(first.split()) == len(second.split()) else "case and spaces"


def _visible(name: str, found: Iterable[str]) -> str:
    """Return a name so that it can be told from the others."""
    composed = {unicodedata.normalize("NFC", other) for other in found}
    return ascii(name) if len(composed) < len(list(found)) else repr(name)
