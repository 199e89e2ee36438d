"""One thing to measure on a GPU, and where it is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where and how the plan is run. `until` is on `time.monotonic`'s clock; `data` is an image folder, or None, and
    `init` a file of trained weights, or None."""

    device: torch.device
    toy: bool
    until: float
    results: Path
    runs: Path
    data: Path | None
    init: Path | None = None

    def left(self) -> float:
        """Seconds until this command has to end."""
        return self.until - time.monotonic()


@dataclass(frozen=True)
class Item:
    """One thing to measure; `work` returns its row, or None where time ran out and a later call goes on with it.

    `needs_s`: not begun with less time left than this.
    """

    name: str
    work: Callable[[Place], Row | None]
    needs_s: float = 30
