"""What an endpoint is: a path, what answers there, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from .options import read_options
from .service_state import ServiceState

Answer = Callable[[ServiceState, Request], Awaitable[Response | BaseModel]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One path of the service.

    Attributes:
        path: what a request asks for; it has no variable parts.
        name: its `operationId`, which no other endpoint has.
        summary: what it does, in a line.
        answer: takes the loaded service and a request; a document is answered as JSON. Raises `Problem`.
        returns: the kind of document, or a media type where it is none.
        example: of a whole answer.
        method: GET serves HEAD too.
        options: of `serving.options.SCHEMAS`, those that it takes in the query and, where it has one, in the body.
        body: what its body holds; None: it has no body.
        needs_token: where the service knows tokens at all.
        in_log: a request that went well is logged too.
        closed_by: the word of HARDENER_CLOSED that takes it away.
    """

    path: str
    name: str
    summary: str
    answer: Answer
    returns: type[BaseModel] | str
    example: Any
    method: Literal["GET", "POST"] = "GET"
    options: tuple[str, ...] = ()
    body: Literal["image", "images"] | None = None
    needs_token: bool = True
    in_log: bool = True
    closed_by: Literal["metrics", "docs", "page"] | None = None


def model_asked_for(request: Request) -> str | None:
    """Read the option `model` from the query of a request that has no other; None: the default.

    Raises:
        Problem: 422 there is another option, or two models.
    """
    return read_options(request.query_params.multi_items(), allowed=("model",)).model
