"""The REST interface: starlette routes over one loaded bundle.

BentoML itself answers /healthz, /livez and /readyz, before any mounted route: see the hooks in `service.py`.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hardener.config.bundle import read_bundle
from hardener.errors import Failure

from .batcher import Batcher, Priority, QueueFull
from .engine import BUCKETS, Engine
from .intake import Upload, decode_upload, read_upload
from .openapi import openapi_document
from .probes import Pixels, Probabilities, Smoothing, ask_in_chunks, robustness_report
from .problem import Problem, problem_response
from .schemas import ModelInfo, ModelName, Prediction, Report
from .settings import Settings

DECODE_THREADS = 2
T = TypeVar("T")


class Metrics:
    """The figures of `/metrics`, in a registry of their own. Labels take a fixed set of values."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "hardener_requests", "answers, by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "hardener_request_seconds", "from request to answer, by route", ["route"], registry=registry
        )
        self.reports = Counter("hardener_reports", "robustness reports answered", registry=registry)
        self.batch_images = Histogram(
            "hardener_batch_images", "images in one run of the model", buckets=BUCKETS, registry=registry
        )
        self.waiting = Gauge(
            "hardener_waiting_images", "images that wait for a lane, by kind", ["kind"], registry=registry
        )


class Room:
    """A loaded bundle and all that works on it; `close` ends its threads."""

    def __init__(self, settings: Settings) -> None:
        """Load the bundle and warm the model.

        Raises:
            HardenerError: the bundle is broken, or its model is not the one that it describes.
        """
        self.settings = settings
        self.bundle = read_bundle(settings.bundle)
        self.engine = Engine(settings.bundle, self.bundle, device=settings.device, lanes=settings.lanes)
        self.metrics = Metrics()
        self.batcher = Batcher(
            self.engine.probabilities,
            lanes=self.engine.lanes,
            max_batch=self.engine.max_batch,
            report_chunk=self.engine.report_chunk,
            max_waiting=settings.max_waiting,
            on_batch=self.metrics.batch_images.observe,
        )
        for priority in Priority:
            gauge = self.metrics.waiting.labels(priority.name.lower())
            gauge.set_function(functools.partial(self.batcher.waiting, priority))
        self.name = ModelName(name=self.bundle.name, fingerprint=self.bundle.fingerprint)
        self._threads = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._requests = 0
        self._reports = 0

    async def predict(self, request: Request) -> Prediction:
        """Answer one `/predict` request within its deadline.

        Raises:
            Problem: it cannot be answered; the status table is in `openapi.py`.
            ClientDisconnect: nobody waits for the answer any more.
        """
        if self._requests >= self.settings.max_requests:
            raise Problem(503, "too many requests are in work. Try again shortly.", retry_after_s=1)
        started = asyncio.get_running_loop().time()
        self._requests += 1
        try:
            async with asyncio.timeout_at(started + self.settings.predict_timeout_s) as deadline:
                upload = await read_upload(request, max_body_bytes=self.settings.max_body_bytes)
                if upload.report:
                    deadline.reschedule(started + self.settings.report_timeout_s)
                return await _while_connected(request, self._answer(upload))
        except QueueFull:
            raise Problem(503, "too many images wait. Try again shortly.", retry_after_s=1) from None
        except TimeoutError:
            raise Problem(504, "the answer was not ready before the deadline. Try again later.") from None
        except Failure as error:
            raise Problem(500, str(error)) from None
        finally:
            self._requests -= 1

    def info(self) -> ModelInfo:
        """Describe the bundle."""
        shared = {name: getattr(self.bundle, name) for name in ModelInfo.model_fields if name != "provider"}
        return ModelInfo(**shared, provider=self.engine.provider)

    def close(self) -> None:
        """End the threads."""
        self.batcher.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _answer(self, upload: Upload) -> Prediction:
        decode = functools.partial(decode_upload, upload.data, self.bundle.input, max_pixels=self.settings.max_pixels)
        image = await self._in_thread(decode)
        probabilities = (await self.batcher.submit(image[None]))[0]
        index = int(probabilities.argmax())
        return Prediction(
            label=self.bundle.classes[index],
            index=index,
            confidence=float(probabilities[index]),
            probabilities=dict(zip(self.bundle.classes, probabilities.tolist(), strict=True)),
            model=self.name,
            report=await self._report(image, index) if upload.report else None,
        )

    async def _report(self, image: Pixels, predicted: int) -> Report:
        if self._reports >= self.settings.max_reports:
            raise Problem(503, "too many reports are in work. Try again shortly, or without report.", retry_after_s=5)
        smoothing = Smoothing(self.settings.selection_draws, self.settings.draws, self.settings.alpha)
        self._reports += 1
        try:
            report = await robustness_report(image, predicted, self.bundle, self._ask, smoothing)
        finally:
            self._reports -= 1
        self.metrics.reports.inc()
        return report

    async def _ask(self, images: Iterator[Pixels]) -> Probabilities:
        return await ask_in_chunks(
            images,
            functools.partial(self.batcher.submit, priority=Priority.REPORT),
            self._in_thread,
            chunk=self.batcher.report_chunk,
            window=self.engine.lanes + 1,
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def create_app(room: Room) -> ASGIApp:
    """Make the ASGI app that answers for a loaded bundle."""

    document = openapi_document()

    async def predict(request: Request) -> Response:
        return _json(await room.predict(request))

    async def model(request: Request) -> Response:
        return _json(room.info())

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(room.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def index(request: Request) -> Response:
        return JSONResponse({"service": "hardener", "model": room.bundle.name, "routes": sorted(document["paths"])})

    async def openapi(request: Request) -> Response:
        return JSONResponse(document)

    routes = [
        Route("/", index),
        Route("/predict", predict, methods=["POST"]),
        Route("/model", model),
        Route("/openapi.json", openapi),
        Route("/metrics", metrics),
    ]
    paths = {route.path for route in routes}
    return Starlette(
        routes=routes,
        middleware=[Middleware(_Measure, metrics=room.metrics, paths=paths)],
        exception_handlers={
            Problem: _answer_problem,
            HTTPException: _answer_http_exception,
            ClientDisconnect: _answer_nobody,
            Exception: _answer_fault,
        },
    )


class _Measure:
    """Counts and times every answer.

    All paths without a route share one label: a scanner would fill the memory with series otherwise.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, paths: set[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            route = scope["path"] if scope["path"] in self._paths else "unknown"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """Await `work`, but cancel it when the client goes: a report costs far too much to be made for nobody."""
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return await answer
    finally:
        answer.cancel()
        gone.cancel()
        await asyncio.wait({answer, gone})  # so that no job is queued any more when this returns


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


async def _answer_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem_response(problem)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: f"there is no {request.url.path}. GET / lists what there is.",
        405: f"{request.url.path} does not take {request.method}.",
    }
    response = problem_response(Problem(error.status_code, detail.get(error.status_code, error.detail)))
    response.headers.update(error.headers or {})
    return response


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return problem_response(Problem(400, "the client went away before the answer"))


async def _answer_fault(request: Request, error: Exception) -> Response:
    return problem_response(Problem(500, "the service failed on this request; its log says why."))
