"""From a request with images to its answer: admission, deadline, decoding, the model, the report."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from hardener.config.answer import BatchAnswer, BatchItem, Prediction, Report
from hardener.errors import Failure

from .admission import Admission, busy
from .batcher import Priority, QueueFull
from .budget import Budget, allowed_budget
from .connection import while_connected
from .image_decoder import ImageDecoder, run_in
from .intake import Decoded, Upload, body_kind, parse_upload, read_body
from .metrics import Metrics
from .notes import notes_of
from .observe import span
from .options import Options
from .problem import Problem
from .registry import Model, Registry
from .report import robustness_report
from .settings import Settings
from .timed_model import Logits, ModelAccess, Pixels

T = TypeVar("T")
_Answering = Callable[[Model, Upload, Budget | None], Awaitable[T]]


class Predictor:
    """Answers requests that carry images; `close` ends its threads."""

    def __init__(self, settings: Settings, registry: Registry, metrics: Metrics) -> None:
        """Stand before loaded models.

        Args:
            registry: the models by name.
            metrics: hears of every answer and of every image that is refused.
        """
        self._settings, self._registry, self._metrics = settings, registry, metrics
        self._admission = Admission(settings)
        self._decoder = ImageDecoder(metrics, settings)
        self._making = ThreadPoolExecutor(1, thread_name_prefix="report")  # so that no upload waits behind its noise

    async def predict(self, request: Request, *, options: tuple[str, ...], report: bool = False) -> Prediction:
        """Answer a request with one image.

        Args:
            options: those that its route takes.
            report: make a report though the request does not ask for one.
        Raises:
            Problem: it cannot be answered; the statuses are in `serving.openapi`.
            ClientDisconnect: nobody waits for the answer any more.
        """
        return await self._within_bounds(request, self._answer_one, options=options, report=report)

    async def predict_batch(self, request: Request, *, options: tuple[str, ...]) -> BatchAnswer:
        """Answer a request with several images; raises as `predict` does."""
        most = self._settings.max_batch_images
        return await self._within_bounds(request, self._answer_several, options=options, most=most)

    def close(self) -> None:
        """End the threads."""
        self._decoder.close()
        self._making.shutdown(wait=True, cancel_futures=True)

    async def _within_bounds(
        self,
        request: Request,
        answer: _Answering[T],
        *,
        options: tuple[str, ...],
        most: int | None = None,
        report: bool = False,
    ) -> T:
        """Read a request and answer it, as far as there is room and time.

        Args:
            most: images that it may have; None: it has one.
        """
        started = asyncio.get_running_loop().time()
        settings = self._settings
        with self._admission.body() as hold:
            self._check_room(request)
            body_kind(request.headers.get("content-type", ""), several=most is not None)
            body = await read_body(
                request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s, hold=hold
            )
            with self._admission.request():
                upload = await self._parse(request, body, options, most)
                del body
                budget = allowed_budget(upload.options, settings) if report or upload.options.report else None
                deadline = started + settings.predict_timeout_s + (budget.seconds if budget else 0)
                with self._admission.report(notes_of(request.scope).caller) if budget else nullcontext():
                    return await self._answer_in_time(request, answer, upload, budget, deadline)

    async def _answer_in_time(
        self, request: Request, answer: _Answering[T], upload: Upload, budget: Budget | None, deadline: float
    ) -> T:
        """Have the model answer, and turn what may go wrong into a problem.

        Args:
            deadline: by the event loop's clock.
        """
        try:
            with self._registry.find(upload.options.model).used() as model:
                notes_of(request.scope).model = model.name.name
                _check_top_k(upload.options.largest_top_k, len(model.classes))
                async with asyncio.timeout_at(deadline), while_connected(request):
                    return await answer(model, upload, budget)
        except QueueFull:
            raise _too_many_wait() from None
        except TimeoutError:
            raise Problem(504, "the answer was not ready before the deadline. Try again later.") from None
        except Failure as error:
            raise Problem(500, str(error)) from None

    def _check_room(self, request: Request) -> None:
        """Refuse a request that has no chance, before a byte of its body is read."""
        self._admission.check_requests()
        model = self._registry.find(request.query_params.get("model") if request.scope["query_string"] else None)
        try:
            model.batcher.check_room()
        except QueueFull:
            raise _too_many_wait() from None

    async def _parse(self, request: Request, body: bytes, allowed: tuple[str, ...], most: int | None) -> Upload:
        query = request.query_params.multi_items() if request.scope["query_string"] else []
        content_type = request.headers.get("content-type", "")
        parse = functools.partial(parse_upload, content_type, body, query, allowed=allowed, most=most)
        return await self._decoder.run(parse, size=len(body))

    async def _answer_one(self, model: Model, upload: Upload, budget: Budget | None) -> Prediction:
        image = await self._decoder.decode(upload.images[0], model.bundle.input)
        with span("model"):
            answers = (await model.batcher.submit(image.pixels[None]))[0]
        prediction = _prediction(model, answers, upload.options.top_k)
        if budget is not None:
            with span("report"):
                prediction.report = await self._report(model, image, answers, budget, upload.options)
        self._metrics.note_prediction(prediction)
        return prediction

    async def _answer_several(self, model: Model, upload: Upload, budget: Budget | None) -> BatchAnswer:
        at_once = asyncio.Semaphore(model.engine.max_batch)  # so that others find room in the queue

        async def answer(data: bytes | Problem) -> BatchItem:
            try:
                async with at_once:
                    image = await self._decoder.decode(data, model.bundle.input)
                    answers = (await model.batcher.submit(image.pixels[None]))[0]
                prediction = _prediction(model, answers, upload.options.top_k)
                self._metrics.note_prediction(prediction)
                return BatchItem.model_construct(prediction=prediction, problem=None)
            except Problem as problem:
                return BatchItem.model_construct(prediction=None, problem=problem.document())
            except Failure as error:
                return BatchItem.model_construct(prediction=None, problem=Problem(500, str(error)).document())

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(answer(data)) for data in upload.images]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return BatchAnswer.model_construct(items=[task.result() for task in tasks])

    async def _report(
        self, model: Model, image: Decoded, answers: NDArray[np.float32], budget: Budget, options: Options
    ) -> Report:
        """Make a report.

        Args:
            answers: (2, K), the logits and the probabilities of the image.
        """

        async def submit(chunk: Pixels) -> Logits:
            return (await model.batcher.submit(chunk, Priority.REPORT))[:, 0]

        chunk, window = model.batcher.report_chunk, model.engine.lanes + 1
        access = ModelAccess(submit, functools.partial(run_in, self._making), chunk=chunk, window=window)
        size = image.width, image.height
        wanted = bool(options.found_image)
        return await robustness_report(
            image.pixels, answers[0], model.bundle, access, budget, file_size=size, found_image=wanted
        )


def _too_many_wait() -> Problem:
    return busy("too many images wait")


def _check_top_k(top_k: int | None, classes: int) -> None:
    if top_k is not None and top_k > classes:
        raise Problem(422, f"top_k must be a whole number from 1 to {classes}; got {top_k}")


def _prediction(model: Model, answers: NDArray[np.float32], top_k: int | None) -> Prediction:
    """Write an answer down; it is made here from checked parts, so it is not validated once more.

    Args:
        answers: (2, K), the logits, which decide as they do in a report, and the probabilities.
    """
    logits, probabilities = answers
    order = np.argsort(-logits, kind="stable")[:top_k]
    index = int(order[0])
    label: str = model.bundle.classes[index]
    return Prediction.model_construct(
        label=label,
        index=index,
        confidence=float(probabilities[index]),
        probabilities=dict(zip(model.classes[order].tolist(), probabilities[order].tolist(), strict=True)),
        model=model.name,
        report=None,
    )
