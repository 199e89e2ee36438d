"""The BentoML service: `HARDENER_BUNDLE=DIR bentoml serve serving.service:HardenerService`."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

os.environ["BENTOML_DO_NOT_TRACK"] = "True"  # read once, at BentoML's first event; only this word switches it off

import bentoml
from bentoml._internal.configuration.containers import BentoMLContainer
from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.errors import HardenerError

from . import protocol, supervisor
from .app import create_app
from .registry import check_bundles
from .room import Room
from .settings import settings_from_environment, worker_count

# A worker that has not loaded its bundles yet loads them anyhow; by default SIGHUP would end it.
signal.signal(signal.SIGHUP, signal.SIG_IGN)


class _LateApp:
    """Stands where the app will be: BentoML mounts apps before a worker has loaded its bundles.

    As it is no Starlette app, BentoML hands it every path that it does not answer itself, unknown ones too.
    """

    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "a worker takes requests only after its service was made"
        await self.app(scope, receive, send)


_mounted = _LateApp()


# The timeout is BentoML's, of requests that come through it. It keeps a timer for each until then, answered or not.
@bentoml.asgi_app(_mounted, path="/", name="hardener")
@bentoml.service(
    name="hardener",
    workers=worker_count(),
    traffic={"timeout": 75},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class HardenerService:
    """Serves the bundles. It has no BentoML API method: every route is in `app.py`."""

    def __init__(self) -> None:
        """Load the bundles and warm the models; the worker takes no request before this is done."""
        self._room = Room(settings_from_environment())
        _mounted.app = create_app(self._room)
        gc.collect()
        gc.freeze()  # what is loaded now stays: it need not be looked through again and again

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def prepare_supervisor() -> None:
        """Refuse a bundle that cannot be served, once and before any worker starts.

        BentoML starts a worker that fails to initialise over and over, so a fault must be found here.
        """
        try:
            check_bundles(settings_from_environment())
        except HardenerError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        supervisor.install()

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def listen_for_reloads(self) -> None:
        """Load the bundles again on SIGHUP, which the supervisor hands on to its workers."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._room.registry.reload()))

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """End the threads."""
        self._room.close()

    def __is_alive__(self) -> bool:
        return True

    def __is_ready__(self) -> bool:
        return _mounted.app is not None


if not BentoMLContainer.tracing.sample_rate.get():  # otherwise the requests pass through BentoML, which traces them
    protocol.install(_mounted)
