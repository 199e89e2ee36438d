"""Path and method -> endpoint, and every failure -> a problem document; two look-ups instead of a router."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .endpoint import Endpoint
from .notes import notes_of
from .problem import Problem, ProblemResponse
from .service_state import ServiceState


class Dispatcher:
    """The innermost ASGI app."""

    def __init__(self, endpoints: Iterable[Endpoint], service: ServiceState) -> None:
        """Take the endpoints, and what they work on; a GET serves HEAD too."""
        self._service = service
        self._endpoints: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            methods = self._endpoints.setdefault(endpoint.path, {})
            for method in ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,):
                assert method not in methods, f"two endpoints answer {method} {endpoint.path}"
                methods[method] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            response = await self._answer(Request(scope, receive))
            await response(scope, receive, note_start)
        except asyncio.CancelledError:  # by the server, which stops and waits no longer
            if started:
                raise
            stopping = Problem(503, "the server is stopping. Try again shortly.", retry_after_s=1)
            await ProblemResponse(stopping)(scope, receive, send)
        except ClientDisconnect:
            if not started:  # nobody reads it, but it is counted
                await ProblemResponse(Problem(400, "the client went away before the answer"))(scope, receive, send)
        except Exception as error:
            notes_of(scope).fault = error
            if started:
                raise
            fault = Problem(500, "the service failed on this request; its log says why.")
            await ProblemResponse(fault)(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path, method = request.scope["path"], request.scope["method"]
        try:
            methods = self._endpoints.get(path)
            if methods is None:
                raise Problem(404, f"there is no {path[:200]}. GET /openapi.json lists what there is.")
            endpoint = methods.get(method)
            if endpoint is None:
                allow = {"Allow": ", ".join(sorted(methods))}
                raise Problem(405, f"{path} does not take {method[:20]}.", headers=allow)
            answer = await endpoint.answer(self._service, request)
            if isinstance(answer, BaseModel):
                return Response(answer.model_dump_json(), media_type="application/json")
            return answer
        except Problem as problem:
            return ProblemResponse(problem)
