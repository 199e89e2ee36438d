"""Ctrl-C and termination: the step under way is finished, then the run is put away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from hardener.config.run_folder import RunFolder
from hardener.errors import Interrupted, Told
from hardener.progress import rank_and_world

_too_late = threading.Event()  # a stop was asked for when a training had no step left to take


@contextmanager
def stopping_after() -> Iterator[None]:
    """Stop after a training inside the `with`, where that was asked for too late to end it: nothing is begun then.

    Raises:
        KeyboardInterrupt: see above; the training is finished.
    """
    _too_late.clear()
    yield
    if _too_late.is_set():
        raise KeyboardInterrupt


class StopRequest:
    """Inside the `with`, the first SIGINT, SIGTERM or SIGHUP sets `asked`; a second SIGINT interrupts at once.

    Args:
        run: that is trained; where it can go on from a checkpoint, who interrupts is told how.
    """

    def __init__(self, run: RunFolder) -> None:
        self.asked, self._run = False, run

    def __enter__(self) -> Self:
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._ask)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                if signal.getsignal(number) != signal.SIG_IGN  # as nohup leaves it
            }
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None and self.asked:
            _too_late.set()
        if kind is KeyboardInterrupt and self._run.checkpoint.is_file():
            told = "What the last checkpoint holds is kept. Go on with"
            if self._run.read_record().status == "finished":
                told = "The run is finished. What its page and curves may lack is made by"
            kept = Interrupted(f"at once. {told}: {self._run.going_on}")
            raise kept if rank_and_world()[0] == 0 else Told(Interrupted.exit_code)

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
