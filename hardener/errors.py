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


class Told(HardenerError):
    """Another of the processes that work together says what happened; this one ends with it, silently."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process says what happened")
        self.exit_code = exit_code


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
