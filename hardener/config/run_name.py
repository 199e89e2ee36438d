"""What a run may be called: a name is a folder's, and stands in commands that people type."""

from __future__ import annotations

import unicodedata

from hardener.errors import HardenerError

LONGEST, MOST_BYTES = 100, 200  # a file system takes names of 255 bytes, and files beside it have longer ones
_ODD = ("Cc", "Cs", "Zl", "Zp")


def check_run_name(name: str) -> None:
    """Refuse a name that is no plain folder's.

    Raises:
        HardenerError: it is empty or too long, begins with - or a dot, or holds a separator or a control character.
    """
    fault = _fault(name)
    if fault is not None:
        raise HardenerError(f"a run cannot be called {name!r}: {fault}. Try --name {fitting_name(name)}")


def fitting_name(text: str, otherwise: str = "run") -> str:
    """Return the text as a run may be called: what cannot stand in a name becomes -."""
    kept = "".join("-" if char in "/\\" or unicodedata.category(char) in _ODD else char for char in text)
    kept = kept.strip().lstrip("-.").lstrip()[:LONGEST]
    while len(kept.encode()) > MOST_BYTES:
        kept = kept[:-1]
    return kept.strip() or otherwise


def _fault(name: str) -> str | None:
    odd = [char for char in name if unicodedata.category(char) in _ODD]
    if not name.strip():
        return "it is empty"
    if name != name.strip():
        return "it begins or ends with a space"
    if "/" in name or "\\" in name:
        return "a name has no separators; the folder that runs lie in is chosen by --out"
    if name.startswith((".", "-")):
        return f"it begins with {name[0]!r}"
    if odd:
        return f"it holds {odd[0]!r}, which is no character to be read"
    if len(name) > LONGEST:
        return f"it has {len(name)} characters, and {LONGEST} are allowed"
    if len(name.encode()) > MOST_BYTES:
        return f"it takes {len(name.encode())} bytes, and {MOST_BYTES} are allowed"
    return None
