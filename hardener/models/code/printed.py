"""The screen of a model file while it is imported and built: the first lines of what it prints, and how wide it is."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

_MOST_LINES = 5


class _FirstLines(io.TextIOBase):
    """Passes the first lines on, and counts the others."""

    def __init__(self, to: TextIO) -> None:
        super().__init__()
        self._to = to
        self.lines = 0

    def writable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def write(self, text: str) -> int:
        """Write what belongs to the first lines; see `io.TextIOBase`."""
        for piece in text.splitlines(keepends=True):
            if self.lines < _MOST_LINES:
                self._to.write(piece)
            self.lines += piece.endswith("\n")
        return len(text)

    def flush(self) -> None:
        """See `io.IOBase`."""
        self._to.flush()


@contextlib.contextmanager
def few_lines(to: TextIO) -> Iterator[None]:
    """Let what is printed inside go to another stream, as far as it is short: a file may print a whole network."""
    printed = _FirstLines(to)
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        further = printed.lines - _MOST_LINES
        if further > 0:
            to.write(f"… {further:,} more line{'s' if further > 1 else ''} that the model file prints\n")


@contextlib.contextmanager
def some_terminal() -> Iterator[None]:
    """Answer what asks for the terminal's size where there is none, as in a job of a scheduler: many files draw a
    progress bar by `os.popen("stty size")`, whose empty answer they cannot read."""
    popen, get_terminal_size = os.popen, os.get_terminal_size

    def asked(command: str, *values: Any, **options: Any) -> Any:
        if command.split() == ["stty", "size"] and not os.isatty(0):
            return io.StringIO("24 80\n")
        return popen(command, *values, **options)

    def size(*of: int) -> os.terminal_size:
        try:
            return get_terminal_size(*of)
        except OSError:
            if of:  # who names a stream has an answer to this, as shutil and rich do
                raise
            return os.terminal_size((80, 24))

    os.popen, os.get_terminal_size = asked, size  # type: ignore[assignment]
    try:
        yield
    finally:
        os.popen, os.get_terminal_size = popen, get_terminal_size


@contextlib.contextmanager
def parsers_without_usage() -> Iterator[None]:
    """Let a parser that asks for arguments say so in the error alone: how to call the file helps nobody here."""
    before = argparse.ArgumentParser.error
    # a builtin is not bound to the parser, and leaves no line of hardener's own in the error
    setattr(argparse.ArgumentParser, "error", sys.exit)  # noqa: B010 — mypy takes no other
    try:
        yield
    finally:
        setattr(argparse.ArgumentParser, "error", before)  # noqa: B010
