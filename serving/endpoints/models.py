"""What is served: the models and their cards."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from hardener.config.answer import ModelInfo, ModelList

from ..endpoint import Endpoint, model_asked_for
from ..examples import EXAMPLES
from ..problem import Problem
from ..service_state import ServiceState


async def _model(service: ServiceState, request: Request) -> ModelInfo:
    return service.registry.find(model_asked_for(request)).info


async def _models(service: ServiceState, request: Request) -> ModelList:
    return service.registry.list()


async def _card(service: ServiceState, request: Request) -> Response:
    found = service.registry.find(model_asked_for(request))
    if found.card is None:
        raise Problem(404, f"the bundle of {found.name.name} has no model card")
    return Response(found.card, media_type="text/markdown")


MODEL = Endpoint(
    path="/model",
    name="model",
    summary="One model that is served",
    options=("model",),
    answer=_model,
    returns=ModelInfo,
    example=EXAMPLES["model"],
)
MODELS = Endpoint(
    path="/models",
    name="models",
    summary="All models that are served",
    answer=_models,
    returns=ModelList,
    example=EXAMPLES["models"],
)
MODEL_CARD = Endpoint(
    path="/model/card",
    name="model_card",
    summary="The model's card",
    options=("model",),
    answer=_card,
    returns="text/markdown",
    example="# A model",
)
