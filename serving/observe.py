"""What is seen of a request from outside: its id, its figures, its log line and its trace."""

from __future__ import annotations

import importlib
import logging
import random
import re
import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hardener.errors import HardenerError

from .coalesced_call import CoalescedCall
from .in_work import InWork
from .log import RequestLog
from .metrics import Metrics
from .notes import Notes, notes_of
from .problem import Problem, ProblemResponse

_ids = random.Random()  # noqa: S311 - an id is no secret, and the system's randomness costs a system call each
REQUEST_ID = b"x-request-id"
UNKNOWN_ROUTE = "unknown"
GAUGES_AFTER_S = 0.05
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_NOTHING: AbstractContextManager[object] = nullcontext()
logger = logging.getLogger("hardener.serving")


def span(name: str) -> AbstractContextManager[object]:
    """Trace a part of a traced request; elsewhere, and with tracing off, it does nothing and costs 0.2 us."""
    if not trace.get_current_span().is_recording():
        return _NOTHING
    return trace.get_tracer("hardener").start_as_current_span(name)


class Observer:
    """The outermost of our layers: a request that anything behind it refuses is counted and logged too.

    An exception ends here, in the log: the server would only print it a second time.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        routes: Mapping[str, bool],
        log: RequestLog | None = None,
        in_work: InWork | None = None,
    ) -> None:
        """Stand before an app.

        Args:
            routes: the paths that exist, and whether a request there is logged though it went well. All other paths
                share one label: a scanner would fill the memory with series.
            log: None: no line is written.
            in_work: where it is written down what would be lost if this process died now; None: nowhere.
        """
        self._app, self._metrics, self._routes, self._log = app, metrics, dict(routes), log
        self._in_work = in_work
        # once for all requests that begin or end in a while: each value costs microseconds
        self._gauges = CoalescedCall(GAUGES_AFTER_S, metrics.write_gauges)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app, and write down how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        notes = notes_of(scope)
        notes.request_id = _request_id(scope)
        notes.client = str(scope["client"][0]) if scope.get("client") else None
        route = scope["path"] if scope["path"] in self._routes else UNKNOWN_ROUTE
        started = time.perf_counter()

        async def counted_receive() -> Message:
            message = await receive()
            notes.bytes_in += len(message.get("body", b""))
            return message

        async def marked_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                notes.status = message["status"]
                headers = [*message.get("headers", ()), (REQUEST_ID, notes.request_id.encode())]
                message = {**message, "headers": headers}
                _mark_span(scope, route, notes)
            elif message["type"] == "http.response.body":
                notes.bytes_out += len(message.get("body", b""))
            await send(message)

        slot = None
        if self._in_work is not None:
            slot = self._in_work.begin(f"{scope['method'][:16]} {route} {notes.request_id} from {notes.client}")
        self._metrics.in_flight += 1
        self._gauges.ask()
        try:
            await self._app(scope, counted_receive, marked_send)
        except Exception as error:
            notes.fault = error
            if notes.status is None:
                detail = "the service failed on this request; its log says why."
                await ProblemResponse(Problem(500, detail))(scope, receive, marked_send)
        finally:
            if slot is not None and self._in_work is not None:
                self._in_work.end(slot)
            self._metrics.in_flight -= 1
            self._gauges.ask()
            seconds = time.perf_counter() - started
            status = notes.status or 504  # cancelled from outside: BentoML's own deadline, which answers 504 itself
            self._metrics.note_request(route, status, seconds)
            if self._log is not None and (self._routes.get(route, True) or status != 200):
                self._log.add(_line(scope, route, notes, status, seconds))
            elif notes.fault is not None:
                logger.error("%s %s failed", scope["method"], route, exc_info=notes.fault)


def tracing_options(endpoint: str | None, *, share: float = 1.0) -> dict[str, Any]:
    """Make the value of `tracing` in BentoML's service configuration.

    Args:
        endpoint: where spans go by OTLP over HTTP, e.g. http://collector:4318/v1/traces; None: tracing is off.
        share: of the requests that bring no trace of their own, how many are traced, in [0, 1].
    """
    if not endpoint:  # BentoML makes three spans a request even without an exporter: 110 us, thrown away
        return {"excluded_urls": ".*"}
    return {
        "exporter_type": "otlp",
        "sample_rate": share,
        "otlp": {"protocol": "http", "endpoint": endpoint},
        "excluded_urls": "/(healthz|livez|readyz|metrics)$",
    }


def check_tracing(endpoint: str | None) -> None:
    """Find out, before a worker starts, whether spans could leave.

    Raises:
        HardenerError: the endpoint is no URL, or the exporter is not installed.
    """
    if not endpoint:
        return
    if not endpoint.startswith(("http://", "https://")):
        raise HardenerError(f"HARDENER_TRACES must be an OTLP endpoint as http://host:4318/v1/traces; got {endpoint!r}")
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ModuleNotFoundError as error:
        raise HardenerError(
            f"HARDENER_TRACES is set, but the package {error.name} is missing. "
            "Install opentelemetry-exporter-otlp-proto-http, or unset it."
        ) from None


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID and _SANE_ID.fullmatch(value):
            return bytes(value).decode()
    return f"{_ids.getrandbits(128):032x}"


def _mark_span(scope: Scope, route: str, notes: Notes) -> None:
    """Complete BentoML's span of the request; it ends with the answer's last byte."""
    current = trace.get_current_span()
    if not current.is_recording():
        return
    current.update_name(f"{scope['method'][:16]} {route}")
    current.set_attribute("http.route", route)
    current.set_attribute("http.response.status_code", notes.status or 0)
    current.set_attribute("hardener.request_id", notes.request_id)
    if notes.client is not None:
        current.set_attribute("client.address", notes.client)
    if notes.model is not None:
        current.set_attribute("hardener.model", notes.model)


def _line(scope: Scope, route: str, notes: Notes, status: int, seconds: float) -> dict[str, Any]:
    context = trace.get_current_span().get_span_context()
    return {
        "time": time.time(),
        "level": "info" if status < 500 else "warning" if status in {503, 504} else "error",
        "request_id": notes.request_id,
        "method": scope["method"][:16],
        "route": route,
        "path": scope["path"] if route == UNKNOWN_ROUTE else None,
        "status": status,
        "ms": round(1000 * seconds, 3),
        "bytes_in": notes.bytes_in,
        "bytes_out": notes.bytes_out,
        "client": notes.client,
        "token": notes.token,
        "model": notes.model,
        "trace_id": f"{context.trace_id:032x}" if context.is_valid else None,
        "error": notes.problem if notes.fault is None else f"{type(notes.fault).__name__}: {notes.fault}",
        "traceback": "".join(traceback.format_exception(notes.fault)) if notes.fault else None,
    }
