"""What the supervisor counts of its workers, in a file that whichever worker is scraped adds to its answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

_FILE = "workers.json"
_COUNTS = {
    "deaths": ("hardener_worker_deaths", "worker processes that ended though nobody had asked them to"),
    "restarts": ("hardener_worker_restarts", "worker processes started in place of dead ones"),
    "lost_requests": ("hardener_lost_requests", "requests that a worker had in work when it died"),
}


@dataclass
class WorkerFigures:
    """The counts so far; `write` shows them."""

    folder: Path | None
    deaths: int = field(default=0)
    restarts: int = field(default=0)
    lost_requests: int = field(default=0)

    def write(self) -> None:
        """Let the workers read them; a full disk loses them, and nothing else."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                new = self.folder / f"{_FILE}.new"
                new.write_text(json.dumps({name: getattr(self, name) for name in _COUNTS}), encoding="ascii")
                new.replace(self.folder / _FILE)


class WorkerCounters(Collector):
    """The counts that a supervisor wrote, all zero before the first death."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read them."""
        counts = dict.fromkeys(_COUNTS, 0)
        if self._folder is not None:
            with contextlib.suppress(OSError, ValueError):
                counts |= json.loads((self._folder / _FILE).read_text(encoding="ascii"))
        for name, (metric, text) in _COUNTS.items():
            yield CounterMetricFamily(metric, text, value=counts[name])
