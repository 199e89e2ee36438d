"""What the process that keeps the workers does on a signal, and when a worker dies.

BentoML's supervisor is circus. On SIGHUP it replaces every worker: the old ones go before the new ones are ready, and a
broken bundle leaves none. It looks for dead workers every ten seconds only, starts them again without end, and not at
all where BENTOML_CONTAINERIZED is set. On SIGTERM it keeps the listening socket open until all workers are gone, so
that the kernel takes connections that nobody will answer; and it forgets a signal that comes while it is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from circus.arbiter import Arbiter
from circus.exc import ConflictError
from circus.sighandler import SysHandler
from circus.sockets import CircusSockets

from hardener.errors import HardenerError

from .accepted import Acceptance, Taken
from .ending import longest_end_s, stop_at_once
from .in_work import lost_with
from .log import end_with
from .restarts import Restarts
from .settings import Settings
from .worker_figures import WorkerFigures

logger = logging.getLogger("hardener.serving")
_AGAIN_S = 0.1
_MOST_LOST = 20  # lines about requests that one worker took along


def install(settings: Settings, acceptance: Acceptance, figures: Path | None) -> None:
    """Change what circus does; it makes its handler after this, in the same process.

    Args:
        acceptance: what the workers load, and how it is taken again.
        figures: the folder that the supervisor shares with its workers; None: there is none.
    """
    register, manage, close = SysHandler._register, Arbiter.manage_watchers, Arbiter.stop_controller_and_close_sockets
    listen = CircusSockets.bind_and_listen_all

    def register_more(handler: Any) -> None:
        register(handler)
        handler.keeper = Keeper(handler.controller, settings, acceptance, figures, manage)

    def close_and_fail(arbiter: Any) -> None:
        close(arbiter)
        if arbiter.ctrl.sys_hdl.keeper.gave_up:
            raise SystemExit(1)

    def listen_or_end(sockets: Any) -> None:
        try:
            listen(sockets)
        except OSError as error:
            places = ", ".join(f"{socket.host}:{socket.port}" for socket in sockets.values())
            end_with(HardenerError(f"cannot listen on {places}: {error.strerror}. Choose another --port."))

    CircusSockets.bind_and_listen_all = listen_or_end
    SysHandler._register = register_more
    SysHandler.quit = lambda handler: handler.keeper.stop()
    SysHandler.handle_int = lambda handler: handler.keeper.stop(at_once=True)
    SysHandler.handle_hup = lambda handler: handler.keeper.soon(handler.keeper.reload)
    Arbiter.manage_watchers = lambda arbiter: arbiter.ctrl.sys_hdl.keeper.manage()
    Arbiter.stop_controller_and_close_sockets = close_and_fail


class Keeper:
    """Keeps the workers of one service. It belongs to the event loop of circus; the signal handlers call `soon`."""

    def __init__(
        self,
        controller: Any,
        settings: Settings,
        acceptance: Acceptance,
        figures: Path | None,
        manage: Callable[..., Any],
    ) -> None:
        self.gave_up = False
        self._controller, self._acceptance, self._folder, self._manage = controller, acceptance, figures, manage
        self._figures = WorkerFigures(figures)
        self._restarts = Restarts(settings.max_quick_deaths)
        self._born: dict[int, float] = {}
        self._to_replace = 0
        self._stopping = self._reloading = self._reload_again = False
        for watcher in controller.arbiter.watchers:
            watcher.respawn = True
            watcher.graceful_timeout = longest_end_s(settings.drain_s, settings.stop_s)
            watcher.hooks |= {"after_spawn": self._hear_of_birth, "after_reap": self._hear_of_death}
        signal.signal(signal.SIGCHLD, lambda number, frame: self.soon(self._look))

    def soon(self, work: Callable[[], None]) -> None:
        """Do something in the event loop; a signal handler may call this."""
        self._controller.loop.add_callback_from_signal(work)

    def stop(self, *, at_once: bool = False) -> None:
        """End the workers and then this process; the second time, or for a person who waits, without a drain."""
        if at_once or self._stopping:
            stop_at_once(self._acceptance.folder)
        if not self._stopping:
            self._stopping = True
            self._controller.arbiter.sockets.close_all()
            self.soon(self._quit)

    def reload(self) -> None:
        """Take the bundles and tokens again beside what runs, and let the workers load them where they are accepted."""
        self._reload_again = self._reloading
        if not self._reloading:
            self._reloading = True
            taken = asyncio.get_running_loop().run_in_executor(None, self._acceptance.take_again)
            taken.add_done_callback(self._hand_on)

    def manage(self) -> asyncio.Future[None]:
        """Replace the workers that are missing, when it is time for that."""
        nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        if not self._stopping:
            self._controller.arbiter.reap_processes()  # which calls `_hear_of_death`
        wait_s = self._restarts.wait_s() if self._to_replace else 0.0
        if wait_s:
            self._controller.loop.call_later(wait_s, self._look)
        if self._stopping or wait_s:
            return nothing
        try:
            managed: asyncio.Future[None] = self._manage(self._controller.arbiter)
        except ConflictError:  # it is at it already, or stops
            return nothing
        return managed

    def _look(self) -> None:
        self.manage()

    def _quit(self) -> None:
        try:
            self._controller.arbiter.stop()
        except ConflictError:  # it starts workers just now
            self._controller.loop.call_later(_AGAIN_S, self._quit)

    def _hand_on(self, done: asyncio.Future[Taken]) -> None:
        self._reloading = False
        try:
            taken = done.result()
        except Exception:  # whatever it is, what runs goes on
            logger.exception("error: nothing was exchanged")
            taken = Taken(False, [])
        for refusal in taken.refusals:
            logger.error("error: %s What was accepted before is served on.", refusal)
        for watcher in self._controller.arbiter.watchers if taken.anything else ():
            for process in list(watcher.processes):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGHUP)
        if self._reload_again:
            self.reload()

    def _hear_of_birth(self, *, pid: int, **_: Any) -> bool:
        self._born[pid] = time.monotonic()
        if self._to_replace:
            self._to_replace -= 1
            self._figures.restarts += 1
            self._figures.write()
            logger.info("worker %d starts in place of one that died", pid, extra=_fields("worker_started", pid=pid))
        return True

    def _hear_of_death(self, *, process_pid: int, exit_code: int | None, **_: Any) -> None:
        lived_s = time.monotonic() - self._born.pop(process_pid, time.monotonic())
        lost = [] if self._folder is None else lost_with(self._folder, process_pid)
        if self._stopping:
            return
        self._to_replace += 1
        goes_on = self._restarts.died(lived_s)
        self._figures.deaths += 1
        self._figures.lost_requests += len(lost)
        self._figures.write()
        how = _how(exit_code)
        fields = {"pid": process_pid, "how": how, "lived_s": round(lived_s, 1), "lost_requests": len(lost)}
        then = f"the next one starts in {self._restarts.wait_s():.1f} s" if goes_on else "none starts any more"
        logger.error(
            "worker %d %s after %.0f s with %d requests in work; %s", process_pid, how, lived_s, len(lost), then,
            extra=_fields("worker_died", **fields),
        )  # fmt: skip
        for request in lost[:_MOST_LOST]:
            logger.error(
                "the request %s was lost with worker %d", request, process_pid,
                extra=_fields("request_lost", pid=process_pid, request=request),
            )  # fmt: skip
        if not goes_on:
            self._give_up(how)

    def _give_up(self, how: str) -> None:
        quick = self._restarts.quick
        logger.error(
            "error: %d workers ended within seconds of their start, one after another; the last %s. The service gives "
            "up. The lines above say why; where they do not, it may need more memory. Start it again after that.",
            quick, how, extra=_fields("gave_up", deaths=quick),
        )  # fmt: skip
        self.gave_up = True
        self.stop(at_once=True)


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended"
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-exit_code).name
        return f"was ended by {name}" + (", as the kernel does where memory runs out," if name == "SIGKILL" else "")
    return f"was ended by signal {-exit_code}"


def _fields(event: str, **values: Any) -> dict[str, Any]:
    return {"fields": {"event": event, **values}}
