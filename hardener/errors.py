"""The one family of errors that the command line shows without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HardenerError(Exception):
    """A user's mistake: the message says what happened, with which value, and what to do."""

    exit_code = 2


class Failure(HardenerError):
    """Work that was asked for correctly and could not be done."""

    exit_code = 1


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
