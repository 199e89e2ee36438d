"""Work that is put off, and done once for all who asked for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class CoalescedCall:
    """Calls `work` on the event loop some seconds after it was first asked for."""

    def __init__(self, seconds: float, work: Callable[[], object]) -> None:
        """Wait to be asked."""
        self._seconds, self._work = seconds, work
        self._asked = False

    def ask(self) -> None:
        """Ask for the work; from within a running event loop."""
        if not self._asked:
            self._asked = True
            asyncio.get_running_loop().call_later(self._seconds, self._do)

    def _do(self) -> None:
        self._asked = False
        self._work()
