"""Classify images: one, one with a report, or several."""

from __future__ import annotations

from starlette.requests import Request

from hardener.config.answer import BatchAnswer, Prediction

from ..endpoint import Endpoint
from ..examples import EXAMPLES
from ..options import SCHEMAS
from ..service_state import ServiceState

_ALL = tuple(SCHEMAS)
_OF_A_REPORT = tuple(name for name in SCHEMAS if name != "report")
_OF_A_BATCH = ("top_k", "model")


async def _predict(service: ServiceState, request: Request) -> Prediction:
    return await service.predictor.predict(request, options=_ALL)


async def _report(service: ServiceState, request: Request) -> Prediction:
    return await service.predictor.predict(request, options=_OF_A_REPORT, report=True)


async def _predict_batch(service: ServiceState, request: Request) -> BatchAnswer:
    return await service.predictor.predict_batch(request, options=_OF_A_BATCH)


PREDICT = Endpoint(
    path="/predict",
    name="predict",
    summary="Classify an image, on request with a robustness report",
    method="POST",
    body="image",
    options=_ALL,
    answer=_predict,
    returns=Prediction,
    example=EXAMPLES["prediction"],
)
REPORT = Endpoint(
    path="/report",
    name="report",
    summary="Classify an image and probe and certify the answer",
    method="POST",
    body="image",
    options=_OF_A_REPORT,
    answer=_report,
    returns=Prediction,
    example=EXAMPLES["report"],
)
PREDICT_BATCH = Endpoint(
    path="/predict/batch",
    name="predict_batch",
    summary="Classify several images; a bad one gets its own problem",
    method="POST",
    body="images",
    options=_OF_A_BATCH,
    answer=_predict_batch,
    returns=BatchAnswer,
    example=EXAMPLES["batch"],
)
