"""How long work speaks to whoever watches it; the command line shows it with rich."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Reporter(Protocol):
    """What `run.py` of each room tells the outside."""

    def say(self, text: str) -> None:
        """State a fact that the user wants to see."""

    def warn(self, text: str) -> None:
        """State a fact that the user must not miss."""

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Show progress through `total` units; the value is called with the number just done."""


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Drop the text."""

    def warn(self, text: str) -> None:
        """Drop the text."""

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Count nothing."""
        return nullcontext(lambda done: None)


def rank_and_world() -> tuple[int, int]:
    """Return this process's number and how many torchrun started; (0, 1) without it. The first one speaks for all."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
