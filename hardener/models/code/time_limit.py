"""An end to user's code that goes on and on, such as a loop over each pair of an image's pixels."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator

_PAUSE_S = 0.01


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in Python code below that takes more of the processor, in whatever thread it runs.

    What runs inside one call of a library goes on until that call ends.

    Args:
        seconds: of the whole process, so that a busy machine leaves as much time.
    """
    begun = time.process_time()
    thread = ctypes.c_ulong(threading.get_ident())
    ended = threading.Lock()
    over = threading.Event()
    has_ended_it = False

    def watch() -> None:
        nonlocal has_ended_it
        while (left := begun + seconds - time.process_time()) > 0:
            if over.wait(max(left, _PAUSE_S)):
                return
        with ended:
            if not over.is_set():
                has_ended_it = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TimeoutError))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        with ended:
            over.set()
        if has_ended_it:  # it is raised here if it was not before: to take it back leaves the interpreter in alarm
            with contextlib.suppress(TimeoutError):
                for _ in range(1000):
                    pass
