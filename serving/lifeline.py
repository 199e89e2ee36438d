"""A pipe between the supervisor and its workers: when the supervisor ends, however it does, they hear of it.

The kernel closes the supervisor's end with the process. No worker has that end, so none outlives the supervisor.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

VARIABLE = "HARDENER_LIFELINE"
_kept: list[int] = []


def hold() -> None:
    """Make the pipe, in the process that starts the workers."""
    if os.name == "nt":  # handles are not handed on there
        return
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)  # circus hands on what may be inherited; the other end is closed in its children
    _kept.append(writing)
    os.environ[VARIABLE] = str(reading)


def follow(on_end: Callable[[], None], *, patience_s: Callable[[], float]) -> None:
    """End this worker when its supervisor has ended.

    Args:
        on_end: is called first, in a thread; then the worker gets a SIGTERM.
        patience_s: how long the worker may take to end by itself.
    """
    number = os.environ.get(VARIABLE, "")
    if number.isdecimal():
        threading.Thread(target=_wait, args=(int(number), on_end, patience_s), name="lifeline", daemon=True).start()


def _wait(descriptor: int, on_end: Callable[[], None], patience_s: Callable[[], float]) -> None:
    try:
        while os.read(descriptor, 1):
            pass
    except OSError:  # this process was started by nobody who holds the other end
        return
    on_end()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience_s())
    os._exit(1)
