"""The names in other packages that the service changes or takes from their inside, and whether they are there.

A release of such a package may rename them without notice. pyproject.toml bounds the versions; where others are
installed all the same, the service must not start and lose a bound on connections or a reload in silence.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version

from hardener.errors import HardenerError

PATCHED = {
    "uvicorn": (
        "uvicorn.config:HTTP_PROTOCOLS",
        "uvicorn:Server.shutdown",
        *(
            f"uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.{name}"
            for name in (
                "connection_lost",
                "connection_made",
                "data_received",
                "on_headers_complete",
                "on_message_begin",
                "pause_writing",
                "resume_writing",
                "send_400_response",
                "shutdown",
            )
        ),
    ),
    "kantoku": (  # BentoML's edition of circus
        "circus.exc:ConflictError",
        "circus.sighandler:SysHandler._register",
        "circus.sighandler:SysHandler.handle_hup",
        "circus.sighandler:SysHandler.quit",
        "circus.sighandler:SysHandler.handle_int",
        "circus.arbiter:Arbiter.manage_watchers",
        "circus.arbiter:Arbiter.reap_processes",
        "circus.arbiter:Arbiter.stop",
        "circus.arbiter:Arbiter.stop_controller_and_close_sockets",
        "circus.sockets:CircusSockets.bind_and_listen_all",
        "circus.watcher:Watcher.call_hook",
    ),
    "bentoml": ("bentoml._internal.configuration.containers:BentoMLContainer.tracer_provider",),
}
"""Package, as pip knows it -> `MODULE:NAME`."""


def check_patched_names() -> None:
    """Find out whether all of `PATCHED` is there.

    Raises:
        HardenerError: a name is gone, or a package.
    """
    for package, places in PATCHED.items():
        for place in places:
            if not _exists(place):
                raise HardenerError(
                    f"{package} {_version(package)} has no {place.replace(':', '.')}, which the service changes. "
                    f"Install a version of {package} that pyproject.toml allows."
                )


def _exists(place: str) -> bool:
    module, _, path = place.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    for name in path.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
