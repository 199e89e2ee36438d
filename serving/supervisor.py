"""What the process that keeps the workers does on a signal.

BentoML's supervisor is circus. On SIGHUP it replaces every worker: the old ones go before the new ones are ready, and a
broken bundle leaves none. It looks for dead workers every ten seconds only. On SIGTERM it keeps the listening socket
open until all workers are gone, so that the kernel takes connections that nobody will answer.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from circus.exc import ConflictError
from circus.sighandler import SysHandler


def install() -> None:
    """Change what circus does; it makes its handler after this, in the same process."""
    register, stop = SysHandler._register, SysHandler.quit

    def register_more(handler: Any) -> None:
        register(handler)
        signal.signal(signal.SIGCHLD, lambda number, frame: _replace_dead_workers(handler.controller))

    def refuse_and_stop(handler: Any) -> None:
        handler.controller.arbiter.sockets.close_all()
        stop(handler)

    def hand_on(handler: Any) -> None:
        for watcher in handler.controller.arbiter.iter_watchers():
            for process in list(watcher.processes):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGHUP)

    SysHandler._register, SysHandler.quit, SysHandler.handle_hup = register_more, refuse_and_stop, hand_on


def _replace_dead_workers(controller: Any) -> None:
    def replace() -> None:
        with contextlib.suppress(ConflictError):  # it is at it already, or stops
            controller.arbiter.manage_watchers()

    controller.loop.add_callback_from_signal(replace)
