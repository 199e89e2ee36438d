"""The BentoML service: `HARDENER_BUNDLE=DIR bentoml serve serving.service:HardenerService`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path

os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # read once, at BentoML's first event; only this word switches it off

import bentoml
from opentelemetry import trace
from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.errors import HardenerError

from .log import RequestLog, end_with, log_all_as_json
from .patched_names import check_patched_names

try:  # first of all, for the imports below would fail with a traceback
    check_patched_names()
except HardenerError as error:
    end_with(error)

from bentoml._internal.configuration.containers import BentoMLContainer

from . import lifeline, supervisor
from .accepted import Acceptance
from .app import create_app
from .client_address import warn_of_trust
from .ending import Ending
from .heap import give_large_blocks_back
from .http_bounds import bound_connections_by, check_open_files, use_bounded_protocol
from .in_work import InWork
from .metrics import OWN_FOLDER_VARIABLE, share_figures, use_shared_figures
from .observe import check_tracing, tracing_options
from .protocol import answer_directly, take_all_before_closing
from .service_state import ServiceState
from .settings import longest_request_s, settings_from_environment, worker_count

logger = logging.getLogger("hardener.serving")
give_large_blocks_back()
_asked_to_trust = os.environ.get("FORWARDED_ALLOW_IPS", "")
os.environ["FORWARDED_ALLOW_IPS"] = ""  # of uvicorn, which would take loopback's word on addresses: `client_address`
# By default SIGHUP would end a worker that is still starting; it may have read the old bundles already, so it is noted.
_reloads_asked_early: list[int] = []
signal.signal(signal.SIGHUP, lambda number, frame: _reloads_asked_early.append(number))


class _LateApp:
    """Stands where the app will be: BentoML builds its own before a worker has loaded its bundles."""

    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "a worker takes requests only after its service was made"
        await self.app(scope, receive, send)


_mounted = _LateApp()
_traces = os.environ.get("HARDENER_TRACES")
if _traces:  # BentoML makes the span of a request that comes through it
    use_bounded_protocol()
else:
    answer_directly(_mounted)
_ending = Ending()
take_all_before_closing(_ending)


# The timeout is BentoML's, of requests that come through it; it lies just above the longest deadline of our own, for
# a timer is kept for each request until then, answered or not.
@bentoml.service(
    name="hardener",
    workers=worker_count(),
    traffic={"timeout": longest_request_s() + 5},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing=tracing_options(_traces),
)
class HardenerService:
    """Serves the bundles. It has no BentoML API method: every route is in `routes.py`."""

    def __init__(self) -> None:
        """Load the bundles and warm the models; the worker takes no request before this is done."""
        use_shared_figures()
        settings = settings_from_environment()
        if settings.log == "json":
            log_all_as_json()
        if _traces:  # BentoML keeps the provider to itself; our spans inside a request find the global one
            trace.set_tracer_provider(BentoMLContainer.tracer_provider.get())
        logger.setLevel(logging.INFO)  # BentoML shows warnings alone of others' loggers
        bound_connections_by(settings)
        _ending.go_by(settings)
        lifeline.follow(_stop_without_drain, patience_s=_ending.patience_s)
        self._state = ServiceState(settings)
        self._log = RequestLog(settings.log, on_lost=self._state.metrics.lost_log_lines.inc)
        self._state.is_ending = lambda: _ending.draining
        _mounted.app = create_app(self._state, log=self._log, in_work=_shared_in_work())
        gc.collect()
        gc.freeze()  # what is loaded now stays: it need not be looked through again and again

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prepare_supervisor() -> None:
        """Take what the workers are to load, and refuse what cannot be served, before any worker starts."""
        for each in (signal.SIGTERM, signal.SIGINT):  # until circus has its own
            signal.signal(each, lambda number, frame: sys.exit(128 + number))
        try:
            settings = settings_from_environment()
            check_tracing(_traces)
            check_open_files(settings)
            if settings.log == "json":
                log_all_as_json()
            acceptance = Acceptance(settings)
            figures = share_figures()
        except HardenerError as error:
            end_with(error)
        logger.setLevel(logging.INFO)
        for warning in warn_of_trust(settings.proxies, _asked_to_trust):
            logger.warning(warning)
        lifeline.hold()
        supervisor.install(settings, acceptance, figures)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def listen_for_reloads(self) -> None:
        """Load the bundles again on SIGHUP, which the supervisor hands on to its workers."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload()))
        if _reloads_asked_early:
            await self._reload()

    async def _reload(self) -> None:
        if not await self._state.reload() and self._state.settings.accepted is not None:
            # what was accepted is served by all workers or by none: another one starts with it
            os.kill(os.getpid(), signal.SIGTERM)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """End the threads."""
        self._state.close()
        self._log.close()

    def __is_alive__(self) -> bool:
        return True

    def __is_ready__(self) -> bool:
        return _mounted.app is not None and not _ending.draining


class _AllToOurs:
    """Stands before the routes of BentoML, some of which it would answer by itself, to callers without a token too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (_mounted if scope["type"] == "http" else self._app)(scope, receive, send)


HardenerService.add_asgi_middleware(_AllToOurs)  # type: ignore[attr-defined]


def _stop_without_drain() -> None:
    _ending.hurry = True
    logger.error("the process that keeps the workers is gone: this one stops")


def _shared_in_work() -> InWork | None:
    folder = os.environ.get(OWN_FOLDER_VARIABLE)
    try:
        return InWork(Path(folder)) if folder else None
    except OSError:  # no room: what is lost with a worker is not told then
        return None
