"""The one family of errors that the command line shows without a traceback, and the exit codes that go with them.

HardenerError            2    a user's mistake
├── DamagedCheckpoint    2    a checkpoint is gone, or is not what was written
├── Failure              1    asked for correctly, and could not be done
├── Interrupted        130    training was stopped; the run can go on
├── Lost                 1    another process ended or hangs; the run can go on from its last checkpoint
└── Told                 -    another process says what happened; its exit code
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HardenerError(Exception):
    """A user's mistake: the message says what happened, with which value, and what to do."""

    exit_code = 2


class Failure(HardenerError):
    """Work that was asked for correctly and could not be done."""

    exit_code = 1


class Interrupted(HardenerError):
    """Ctrl-C or a termination signal; the run can go on."""

    exit_code = 130


class Lost(HardenerError):
    """Another process ended or hangs; the run can go on from its last checkpoint."""

    exit_code = 1


class DamagedCheckpoint(HardenerError):
    """A checkpoint is not there, or is not what was written."""


class Told(HardenerError):
    """Another of the processes that work together says what happened; this one ends with it, silently."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process says what happened")
        self.exit_code = exit_code


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
