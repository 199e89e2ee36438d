"""The table of endpoints, and the one that describes the others."""

from __future__ import annotations

import functools
import json

from starlette.requests import Request
from starlette.responses import Response

from .endpoint import Endpoint
from .endpoints.health import PROBES
from .endpoints.metrics import METRICS
from .endpoints.models import MODEL, MODEL_CARD, MODELS
from .endpoints.page import DOCS, PAGE
from .endpoints.predict import PREDICT, PREDICT_BATCH, REPORT
from .openapi import openapi_document
from .service_state import ServiceState
from .settings import Settings


async def _openapi(service: ServiceState, request: Request) -> Response:
    most_classes = max(len(model.classes) for model in service.registry.list().models)
    return Response(_described(service.settings, most_classes), media_type="application/json")


@functools.lru_cache(maxsize=1)  # it takes 20 ms to write
def _described(settings: Settings, most_classes: int) -> bytes:
    document = openapi_document(open_endpoints(settings), settings, most_classes=most_classes)
    return json.dumps(document, ensure_ascii=False).encode()


OPENAPI = Endpoint(
    path="/openapi.json",
    name="openapi",
    summary="This document",
    answer=_openapi,
    returns="application/json",
    example={"openapi": "3.1.0"},
    closed_by="docs",
)
ENDPOINTS: tuple[Endpoint, ...] = (
    PREDICT,
    REPORT,
    PREDICT_BATCH,
    MODEL,
    MODELS,
    MODEL_CARD,
    OPENAPI,
    *DOCS,
    *PAGE,
    METRICS,
    *PROBES,
)


def open_endpoints(settings: Settings) -> list[Endpoint]:
    """Return what is not closed."""
    return [endpoint for endpoint in ENDPOINTS if endpoint.closed_by not in settings.closed]
