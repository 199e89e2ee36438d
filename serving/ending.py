"""How a worker ends: not ready any more, a while of going on, then what is in work is finished."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import uvicorn

from .settings import Settings

CLOSE = (b"connection", b"close")
_LOOK_S = 0.05
_AT_ONCE = "at-once"


def stop_at_once(folder: Path) -> None:
    """Tell the workers, from their supervisor, that nobody needs them to go on: a Ctrl-C, or a second signal."""
    (folder / _AT_ONCE).touch()


class Ending:
    """The end of one worker; `draining` once it is told to stop."""

    def __init__(self) -> None:
        """Begin with the defaults."""
        self.draining = False
        self.hurry = False
        self._drain_s, self._stop_s = Settings.drain_s, Settings.stop_s
        self._accepted: Path | None = None

    def go_by(self, settings: Settings) -> None:
        """Take the times from the settings."""
        self._drain_s, self._stop_s, self._accepted = settings.drain_s, settings.stop_s, settings.accepted

    def patience_s(self) -> float:
        """Return how long the end may take in all."""
        return longest_end_s(self._drain_s, self._stop_s)

    async def drain(self, server: uvicorn.Server) -> None:
        """Be not ready, and go on with all that comes, until whoever sends requests has noticed.

        Args:
            server: every answer from now on asks its client to open another connection the next time.
        """
        self.draining = True
        server.config.timeout_graceful_shutdown = self._stop_s  # type: ignore[assignment]
        end = time.monotonic() + self._drain_s
        while time.monotonic() < end and not self._is_hurried():
            if CLOSE not in server.server_state.default_headers:
                server.server_state.default_headers.append(CLOSE)
            await asyncio.sleep(_LOOK_S)

    def _is_hurried(self) -> bool:
        return self.hurry or (self._accepted is not None and (self._accepted / _AT_ONCE).exists())


def longest_end_s(drain_s: float, stop_s: float) -> float:
    """Return how long a worker may take to end: what it does after that is no work on requests."""
    return drain_s + stop_s + 5
