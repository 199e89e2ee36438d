"""The one family of errors that the command line shows without a traceback.

    HardenerError             a user's mistake (exit code 2)
    ├── BadImage              bytes that are no image
    │   ├── ImageTooLarge     more pixels than allowed
    │   └── UnknownFormat     no image format that is read here
    ├── DamagedCheckpoint     a checkpoint is gone, or is not what was written
    ├── UnfitCheckpoint       a checkpoint is whole, and of another model or recipe
    ├── Failure               asked for correctly, and could not be done (1)
    │   └── Unwritten         an evaluation was made and could not be written down
    ├── Lost                  another process ended; the run can go on (1)
    ├── Interrupted           a training was stopped and can go on (130)
    ├── Paused                an evaluation was stopped and can go on (130)
    └── Told                  another process says what happened

The client adds its own branch, `hardener.client.ClientError`: its errors carry the service's answers.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class HardenerError(Exception):
    """A user's mistake: the message says what happened, with which value, and what to do.

    Attributes:
        options: of the command line; with them, the same command is likely to work.
    """

    exit_code = 2

    def __init__(self, message: str = "", *, options: str = "") -> None:
        super().__init__(message)
        self.options = options


class Failure(HardenerError):
    """Work that was asked for correctly and could not be done."""

    exit_code = 1


class Unwritten(Failure):
    """An evaluation was made, and not all of it could be written down.

    Attributes:
        evaluation: its record, a `hardener.config.evaluation_record.Evaluation`.
    """

    def __init__(self, message: str, evaluation: Any) -> None:
        super().__init__(message)
        self.evaluation = evaluation


class BadImage(HardenerError):
    """The bytes are no image that can be decoded; the message says why, without a file name."""


class ImageTooLarge(BadImage):
    """The header announces more pixels than allowed; nothing was decoded."""


class UnknownFormat(BadImage):
    """The bytes do not begin like any image format that is read here."""


class DamagedCheckpoint(HardenerError):
    """A checkpoint is not there, or is not what was written."""


class UnfitCheckpoint(HardenerError):
    """A checkpoint is whole, and of another model or recipe than its run has."""


class Lost(HardenerError):
    """Another process ended or hangs; the run can go on from its last checkpoint."""

    exit_code = 1


class Interrupted(HardenerError):
    """Ctrl-C or a termination signal; the training can go on."""

    exit_code = 130


class Paused(HardenerError):
    """Ctrl-C; the same evaluation goes on when it is asked for again."""

    exit_code = 130


class Told(HardenerError):
    """Another of the processes that work together says what happened; this one ends with it, silently."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process says what happened")
        self.exit_code = exit_code


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
