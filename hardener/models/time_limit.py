"""An end to user's code that goes on and on, such as a loop over each pair of an image's pixels."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in Python code below that goes on for longer, in whatever thread it runs.

    What runs inside one call of a library goes on until that call ends.
    """
    thread = ctypes.c_ulong(threading.get_ident())
    ended = threading.Lock()
    is_over = has_ended_it = False

    def end() -> None:
        nonlocal has_ended_it
        with ended:
            if not is_over:
                has_ended_it = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(TimeoutError))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with ended:
            is_over = True
        if has_ended_it:  # it is raised here if it was not before: to take it back leaves the interpreter in alarm
            with contextlib.suppress(TimeoutError):
                for _ in range(1000):
                    pass
