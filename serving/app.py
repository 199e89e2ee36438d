"""The REST interface over the loaded models: what answers at which path, and what is stacked before it."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from .access import Access, RateLimit, allow_origins
from .log import RequestLog
from .observe import Observer
from .openapi import openapi_document
from .options import read_options
from .problem import Problem
from .room import Room
from .routes import Handler, Routes

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def create_app(room: Room, *, log: RequestLog | None = None) -> ASGIApp:
    """Make the ASGI app that answers for the loaded models, and writes a line a request into `log`."""
    closed = room.settings.closed
    handlers: dict[str, dict[str, Handler]] = {**_predictions(room), **_descriptions(room)}
    handlers |= {path: {"GET": _alive} for path in ("/healthz", "/livez", "/readyz")}
    if "page" not in closed:
        handlers |= {path: {"GET": _file(PAGE / name, kind)} for path, (name, kind) in PAGE_FILES.items()}
    for path, part in (("/metrics", "metrics"), ("/openapi.json", "docs")):
        if part in closed:
            del handlers[path]
    routes = Routes(handlers)
    return _stack(routes, room, set(routes.paths), log)


def _stack(app: ASGIApp, room: Room, paths: set[str], log: RequestLog | None) -> ASGIApp:
    """Put the middleware around the routes; what comes first is the innermost."""
    rate = room.settings.rate
    app = Access(app, tokens=room.tokens, rate_limit=None if rate is None else RateLimit(rate))
    app = allow_origins(app, room.settings.cors)
    return Observer(app, metrics=room.metrics, routes=paths, log=log)


def _predictions(room: Room) -> dict[str, dict[str, Handler]]:
    async def predict(request: Request) -> Response:
        return _json(await room.predict(request))

    async def predict_batch(request: Request) -> Response:
        return _json(await room.predict_batch(request))

    async def report(request: Request) -> Response:
        return _json(await room.report(request))

    return {
        "/predict": {"POST": predict},
        "/predict/batch": {"POST": predict_batch},
        "/report": {"POST": report},
    }


def _descriptions(room: Room) -> dict[str, dict[str, Handler]]:
    def named(request: Request) -> str | None:
        return read_options(request.query_params.multi_items(), allowed=("model",)).model

    async def model(request: Request) -> Response:
        return _json(room.registry.find(named(request)).info)

    async def models(request: Request) -> Response:
        return _json(room.registry.list())

    async def card(request: Request) -> Response:
        found = room.registry.find(named(request))
        if found.card is None:
            raise Problem(404, f"the bundle of {found.name.name} has no model card")
        return Response(found.card, media_type="text/markdown")

    async def metrics(request: Request) -> Response:
        return Response(room.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    async def openapi(request: Request) -> Response:
        return JSONResponse(openapi_document(room.registry.list(), room.settings))

    return {
        "/model": {"GET": model},
        "/models": {"GET": models},
        "/model/card": {"GET": card},
        "/metrics": {"GET": metrics},
        "/openapi.json": {"GET": openapi},
    }


async def _alive(request: Request) -> Response:
    """Say that it lives, and that it is ready: a worker listens only once its models are loaded and warm."""
    return Response("\n", media_type="text/plain")


def _file(path: Path, media_type: str) -> Handler:
    content = path.read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, media_type=media_type, headers=PAGE_HEADERS)

    return answer


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
