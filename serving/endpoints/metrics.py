"""The figures of all workers, for Prometheus."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from ..endpoint import Endpoint
from ..service_state import ServiceState


async def _metrics(service: ServiceState, request: Request) -> Response:
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


METRICS = Endpoint(
    path="/metrics",
    name="metrics",
    summary="Prometheus metrics",
    answer=_metrics,
    returns="text/plain",
    example="hardener_reports_total 1.0",
    closed_by="metrics",
)
