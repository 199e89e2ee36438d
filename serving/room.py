"""All that stands between a request and its answer: admission, deadlines, decoding, the models, reports."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from hardener.errors import Failure, HardenerError

from .access import find_tokens
from .asker import Logits, ModelAccess, Pixels
from .batcher import Priority, QueueFull
from .budget import Budget, allowed_budget
from .connection import while_connected
from .heap import give_free_pages_back
from .intake import LARGE_PIXELS, SMALL_PIXELS, Decoded, Upload, body_kind, decode_upload, parse_upload, read_body
from .later import Later
from .metrics import Metrics
from .notes import notes_of
from .observe import span
from .options import SCHEMAS
from .problem import Problem
from .registry import Model, Registry
from .report import robustness_report
from .schemas import BatchAnswer, BatchItem, Prediction, Report
from .settings import Settings

DECODE_THREADS = 2
INLINE_BYTES = 65_536  # a body of this size is parsed in less time than a thread takes to start on it
GIVE_BACK_S = 1.0  # after a larger one, its memory goes back to the system; once for all that come meanwhile
PREDICT_OPTIONS = tuple(SCHEMAS)
REPORT_OPTIONS = tuple(name for name in SCHEMAS if name != "report")
BATCH_OPTIONS = ("top_k", "model")
T = TypeVar("T")
logger = logging.getLogger("hardener.serving")


class Room:
    """The loaded models and all that works on them; `close` ends its threads."""

    def __init__(self, settings: Settings) -> None:
        """Load the bundles and warm the models.

        Raises:
            HardenerError: a bundle is broken, or its model is not the one that it describes.
        """
        self.settings = settings
        self.metrics = Metrics()
        self.tokens = find_tokens(settings.tokens, settings.token_hashes)
        self.registry = Registry(settings, self.metrics.batch_images.observe)
        self.metrics.watch_queues(
            lambda: {priority.name.lower(): self.registry.waiting(priority) for priority in Priority}
        )
        self._show_models()
        self._threads = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="decode-large")
        self._making = ThreadPoolExecutor(1, thread_name_prefix="report")  # so that no upload waits behind its noise
        self._requests = 0
        self._held = 0
        self._memory = Later(GIVE_BACK_S, self._give_back)
        self._reports = 0

    async def predict(self, request: Request) -> Prediction:
        """Answer `POST /predict`.

        Raises:
            Problem: it cannot be answered; the statuses are in `openapi.py`.
            ClientDisconnect: nobody waits for the answer any more.
        """
        return await self._within_bounds(request, self._answer_one, allowed=PREDICT_OPTIONS)

    async def report(self, request: Request) -> Prediction:
        """Answer `POST /report`; raises as `predict` does."""
        return await self._within_bounds(request, self._answer_one, allowed=REPORT_OPTIONS, report=True)

    async def predict_batch(self, request: Request) -> BatchAnswer:
        """Answer `POST /predict/batch`; raises as `predict` does."""
        most = self.settings.max_batch_images
        return await self._within_bounds(request, self._answer_several, allowed=BATCH_OPTIONS, most=most)

    async def reload(self) -> None:
        """Load the bundles and read the tokens again; either stays as it was where the new one is broken."""
        try:
            if self.tokens is not None:
                self.tokens.reload()
        except HardenerError as error:
            logger.error("error: the tokens stay as they were: %s", error)
        await self.registry.reload()
        self._show_models()

    def close(self) -> None:
        """End the threads."""
        self.registry.close()
        for threads in (self._threads, self._large, self._making):
            threads.shutdown(wait=True, cancel_futures=True)

    async def _within_bounds(
        self,
        request: Request,
        answer: Callable[[Model, Upload, Budget | None], Awaitable[T]],
        *,
        allowed: tuple[str, ...],
        most: int | None = None,
        report: bool = False,
    ) -> T:
        started = asyncio.get_running_loop().time()
        settings = self.settings
        with self._holding() as hold:
            self._check_room(request)
            body_kind(request.headers.get("content-type", ""), several=most is not None)
            body = await read_body(
                request, max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s, hold=hold
            )
            with self._admitted():
                upload = await self._parse(request, body, allowed, most)
                del body
                budget = allowed_budget(upload.options, settings) if report or upload.options.report else None
                seconds = settings.predict_timeout_s + (budget.seconds if budget else 0)
                try:
                    with self.registry.find(upload.options.model).used() as model:
                        notes_of(request.scope).model = model.name.name
                        _check_top_k(upload.options.largest_top_k, len(model.classes))
                        async with asyncio.timeout_at(started + seconds), while_connected(request):
                            return await answer(model, upload, budget)
                except QueueFull:
                    raise _too_many_wait() from None
                except TimeoutError:
                    raise Problem(504, "the answer was not ready before the deadline. Try again later.") from None
                except Failure as error:
                    raise Problem(500, str(error)) from None

    def _check_room(self, request: Request) -> None:
        """Refuse a request that has no chance, before a byte of its body is read."""
        self._check_requests()
        model = self.registry.find(request.query_params.get("model") if request.scope["query_string"] else None)
        try:
            model.batcher.check_room()
        except QueueFull:
            raise _too_many_wait() from None

    def _check_requests(self) -> None:
        if self._requests >= self.settings.max_requests:
            raise _busy("too many requests are in work")

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count a request whose body is here; one that trickles in must not keep others out."""
        self._check_requests()
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    @contextmanager
    def _holding(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a request's body for as long as it is in work."""
        mine = 0

        def hold(count: int) -> None:
            nonlocal mine
            if self._held + count > self.settings.max_held_bytes:
                raise _busy("the bodies of other requests fill the memory")
            mine += count
            self._held += count

        try:
            yield hold
        finally:
            self._held -= mine
            if mine > INLINE_BYTES:
                self._memory.ask()

    def _give_back(self) -> None:
        with suppress(RuntimeError):  # the threads have ended
            self._threads.submit(give_free_pages_back)

    async def _parse(self, request: Request, body: bytes, allowed: tuple[str, ...], most: int | None) -> Upload:
        query = request.query_params.multi_items() if request.scope["query_string"] else []
        content_type = request.headers.get("content-type", "")
        parse = functools.partial(parse_upload, content_type, body, query, allowed=allowed, most=most)
        return parse() if len(body) <= INLINE_BYTES else await _run_in(self._threads, parse)

    async def _answer_one(self, model: Model, upload: Upload, budget: Budget | None) -> Prediction:
        image = await self._decode(upload.images[0], model)
        with span("model"):
            answers = (await model.batcher.submit(image.pixels[None]))[0]
        prediction = _prediction(model, answers, upload.options.top_k)
        if budget is not None:
            with span("report"):
                prediction.report = await self._report(model, image, answers, budget)
        self.metrics.note_prediction(prediction)
        return prediction

    async def _answer_several(self, model: Model, upload: Upload, budget: Budget | None) -> BatchAnswer:
        at_once = asyncio.Semaphore(model.engine.max_batch)  # so that others find room in the queue

        async def answer(data: bytes | Problem) -> BatchItem:
            try:
                async with at_once:
                    image = await self._decode(data, model)
                    answers = (await model.batcher.submit(image.pixels[None]))[0]
                prediction = _prediction(model, answers, upload.options.top_k)
                self.metrics.note_prediction(prediction)
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

    async def _decode(self, data: bytes | Problem, model: Model) -> Decoded:
        if isinstance(data, Problem):
            raise data
        decode = functools.partial(decode_upload, data, model.bundle.input, max_pixels=self.settings.max_pixels)
        try:
            with span("decode"):
                # Small ones at once: a thread, and its quarrel about the interpreter's lock, would cost as much again.
                image = decode(at_most=SMALL_PIXELS) if len(data) <= INLINE_BYTES else None
                if image is None:
                    image = await _run_in(self._threads, functools.partial(decode, at_most=LARGE_PIXELS))
                if image is None:  # one at a time, so that large ones neither hold all threads nor fill the memory
                    image = await _run_in(self._large, decode)
        except Problem as problem:
            self.metrics.note_decode_error(problem.status)
            raise
        assert image is not None
        return image

    async def _report(self, model: Model, image: Decoded, answers: NDArray[np.float32], budget: Budget) -> Report:
        """Make a report.

        Args:
            answers: (2, K), the logits and the probabilities of the image.
        """
        if self._reports >= self.settings.max_reports:
            raise Problem(503, "too many reports are in work. Try again shortly, or without report.", retry_after_s=5)

        async def submit(chunk: Pixels) -> Logits:
            return (await model.batcher.submit(chunk, Priority.REPORT))[:, 0]

        chunk, window = model.batcher.report_chunk, model.engine.lanes + 1
        access = ModelAccess(submit, functools.partial(_run_in, self._making), chunk=chunk, window=window)
        size = image.width, image.height
        self._reports += 1
        try:
            report = await robustness_report(image.pixels, answers[0], model.bundle, access, budget, file_size=size)
        finally:
            self._reports -= 1
        return report

    def _show_models(self) -> None:
        models = self.registry.list().models
        self.metrics.show_models((model.name, model.fingerprint, model.provider) for model in models)


async def _run_in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def _busy(why: str) -> Problem:
    return Problem(503, f"{why}. Try again shortly.", retry_after_s=1)


def _too_many_wait() -> Problem:
    return _busy("too many images wait")


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
