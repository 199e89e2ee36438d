"""What a model file prints while it is imported and built -> its first lines, and how many more there were."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TextIO

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
