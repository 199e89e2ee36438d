"""Whether the service lives and is ready. A worker listens only once its models are loaded and warm: it is both."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ..endpoint import Endpoint
from ..service_state import ServiceState


async def _alive(service: ServiceState, request: Request) -> Response:
    return Response("\n", media_type="text/plain")


def _probe(name: str, summary: str) -> Endpoint:
    return Endpoint(
        path=f"/{name}",
        name=name,
        summary=summary,
        answer=_alive,
        returns="text/plain",
        example="\n",
        needs_token=False,
        in_log=False,  # a probe every few seconds would fill it
    )


PROBES = (
    _probe("healthz", "200 while the process lives"),
    _probe("livez", "the same"),
    _probe("readyz", "200 once the models are loaded and warm"),
)
