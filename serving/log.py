"""One line a request, as JSON or for a terminal, written by a thread so that a slow reader holds up no request."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn

from hardener.config.serving_limits import FIXED
from hardener.errors import HardenerError

LogForm = Literal["text", "json"]
STDERR = 2
_PAUSE_S = 0.05
_MOST_LINES = FIXED["log_lines"].value
_ATOMIC_BYTES = 4096  # a pipe takes so much in one piece, so that workers who share it break no line of each other
_MOST_TEXT = 500


class RequestLog:
    """Takes a request's fields at once, and formats and writes them within about 50 ms."""

    def __init__(
        self,
        form: LogForm = "json",
        *,
        write: Callable[[bytes], object] = lambda data: os.write(STDERR, data),
        on_lost: Callable[[int], object] = lambda lines: None,
    ) -> None:
        """Start the writer.

        Args:
            write: takes whole lines, at most 4096 bytes unless one line is longer. It may block.
            on_lost: hears how many lines were dropped, because too many wait or `write` failed.
        """
        self._format = format_json if form == "json" else format_text
        self._write, self._on_lost = write, on_lost
        self._lines: deque[Mapping[str, Any]] = deque()
        self._filled, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def add(self, fields: Mapping[str, Any]) -> None:
        """Queue a line; never blocks. `fields` has the keys that `serving.observe` writes, and belongs to the log."""
        if len(self._lines) >= _MOST_LINES:
            self._on_lost(1)
            return
        self._lines.append(fields)
        if not self._filled.is_set():
            self._filled.set()

    def close(self) -> None:
        """Write what waits, and end the writer; a reader who takes nothing for 2 s is left alone."""
        self._closed.set()
        self._filled.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._filled.wait()
            self._closed.wait(_PAUSE_S)  # so that a busy service wakes this thread 20 times a second, not 700
            self._filled.clear()
            self._write_waiting()
        self._write_waiting()  # what came while the last lines were written

    def _write_waiting(self) -> None:
        piece, lines = b"", 0
        while self._lines:
            line = self._format(self._lines.popleft()).encode()
            if piece and len(piece) + len(line) > _ATOMIC_BYTES:
                self._write_piece(piece, lines)
                piece, lines = b"", 0
            piece, lines = piece + line, lines + 1
        if piece:
            self._write_piece(piece, lines)

    def _write_piece(self, piece: bytes, lines: int) -> None:
        try:
            self._write(piece)
        except OSError:  # a full disk or a closed pipe must not end the service
            self._on_lost(lines)


def format_json(fields: Mapping[str, Any]) -> str:
    """Write a line down as a JSON object; keys without a value are left out."""
    shown = {key: value for key, value in fields.items() if value is not None} | {"time": _iso_time(fields["time"])}
    for key in ("path", "error"):
        if key in shown:
            shown[key] = shown[key][:_MOST_TEXT]
    return json.dumps(shown, separators=(",", ":")) + "\n"


def format_text(fields: Mapping[str, Any]) -> str:
    """Write a line down for a person; what a client chose can't break the line or move the cursor."""
    clock = time.strftime("%H:%M:%S", time.localtime(fields["time"]))
    path = fields.get("path") or fields["route"]
    line = f"{clock} {fields['status']} {fields['method']} {path} {fields['ms']:.1f} ms"
    line += "".join(f" {key}={fields[key]}" for key in ("client", "token", "model", "request_id") if fields.get(key))
    line += f" {fields['error']}" if fields.get("error") else ""
    line = "".join(letter if letter.isprintable() else "?" for letter in line[: 2 * _MOST_TEXT])
    return line + "\n" + (fields.get("traceback") or "")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _iso_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def end_with(error: HardenerError) -> NoReturn:
    """End a start that cannot be, with one line on stderr in the form that HARDENER_LOG asks for."""
    if os.environ.get("HARDENER_LOG") == "json":
        line = {"time": _iso_time(time.time()), "level": "error", "event": "not_started", "message": str(error)}
        print(json.dumps(line), file=sys.stderr)
    else:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)


def log_all_as_json() -> None:
    """Let every logger that has handlers write JSON too, so that a process's log is of one form."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        handler.setFormatter(_JsonFormatter())


def _iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
