"""Whether the service lives and is ready. A worker listens only once its models are loaded and warm."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..endpoint import Answer, Endpoint
from ..problem import Problem
from ..service_state import ServiceState


async def _alive(service: ServiceState, request: Request) -> Response:
    return Response("\n", media_type="text/plain")


async def _ready(service: ServiceState, request: Request) -> Response:
    if service.is_ending():
        raise Problem(503, "the service is about to stop. Ask another one.", retry_after_s=1)
    return await _alive(service, request)


def _probe(name: str, summary: str, answer: Answer = _alive) -> Endpoint:
    return Endpoint(
        path=f"/{name}",
        name=name,
        summary=summary,
        answer=answer,
        returns="text/plain",
        example="\n",
        needs_token=False,
        in_log=False,  # a probe every few seconds would fill it
    )


PROBES = (
    _probe("healthz", "200 while the process lives"),
    _probe("livez", "the same"),
    _probe("readyz", "200 once the models are loaded and warm, until the service is told to stop", _ready),
)
