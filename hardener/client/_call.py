"""Requests and how their answers are read, without sending anything: what the two clients share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from hardener.client._connection import check_seconds, timeout
from hardener.client.error import ClientError, ImageNotRead, NoAnswer, Refused, StrangeAnswer, Unavailable
from hardener.client.image import file_bytes
from hardener.client.retry import RETRIED_STATUSES, Retry, read_retry_after
from hardener.config.answer import BatchAnswer, BatchItem, ModelInfo, ModelList, Prediction, ProblemDocument

if TYPE_CHECKING:
    from hardener.client.image import AnyImage

BATCH_IMAGES = 32  # the service takes no more at once
BATCH_BYTES = 16 * 1024 * 1024  # below the service's default limit of a body
REPORT_SLACK_S = 15.0  # a report's budget does not count its upload and the wait for its turn
# What a request that was never answered may be sent again after; silence is none: the service may still be at work.
BROKEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request. Options that are None are left to the service; `silence_s` is the longest wait for a byte."""

    method: str
    path: str
    answer: type[Answer]
    options: dict[str, Any] = field(default_factory=dict)
    images: Sequence[bytes] = ()
    silence_s: float | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what `httpx.Client.request` takes."""
        arguments: dict[str, Any] = {"method": self.method, "url": self.path}
        options = {name: _text(value) for name, value in self.options.items() if value is not None}
        if options:
            arguments["params"] = options
        if self.images:
            # The name and type of a file play no part in the answer, and its name may say more than its owner wants.
            arguments["files"] = [("image", ("image", data, "application/octet-stream")) for data in self.images]
        if self.silence_s is not None:
            arguments["timeout"] = timeout(self.silence_s)
        return arguments

    def read(self, outcome: httpx.Response | httpx.TransportError, url: str, times: int, way: str) -> Answer:
        """Return the answer.

        Args:
            way: what `way_to` says of the URL.
        Raises:
            ClientError: there is none; the subclass says of which kind.
        """
        where = f"{url}{self.path}"
        if isinstance(outcome, httpx.TransportError):
            raise NoAnswer(_no_answer(outcome, where, times) + way) from None
        if not outcome.is_success:
            raise _failure(outcome, where, way)
        try:
            # A newer service may say more than this version knows.
            return self.answer.model_validate_json(outcome.content, extra="ignore")
        except ValidationError as error:
            raise StrangeAnswer(
                f"{where} answered {outcome.status_code}, but not as this version of the service does "
                f"({error.error_count()} faults, first: {_first(error)}). Is the URL right?{way}",
                status=outcome.status_code,
                request_id=outcome.headers.get("x-request-id"),
            ) from None


def predict_call(image: bytes, *, top_k: int | None, model: str | None) -> Call[Prediction]:
    """Ask about one image."""
    return Call("POST", "/predict", Prediction, {"top_k": top_k, "model": model}, (image,))


def report_call(image: bytes, *, silence_s: float, **options: float | str | None) -> Call[Prediction]:
    """Ask about one image and its robustness; `silence_s` grows with the option `budget_s`."""
    budget_s = options.get("budget_s")
    if isinstance(budget_s, int | float):
        check_seconds("budget_s", budget_s)
        silence_s = max(silence_s, budget_s + REPORT_SLACK_S)
    return Call("POST", "/predict", Prediction, {"report": True, **options}, (image,), silence_s)


def batch_call(images: Sequence[bytes], *, top_k: int | None, model: str | None) -> Call[BatchAnswer]:
    """Ask about several images."""
    return Call("POST", "/predict/batch", BatchAnswer, {"top_k": top_k, "model": model}, images)


def model_call(name: str | None) -> Call[ModelInfo]:
    """Ask what a model is."""
    return Call("GET", "/model", ModelInfo, {"model": name})


def models_call() -> Call[ModelList]:
    """Ask which models there are."""
    return Call("GET", "/models", ModelList)


def chunks(files: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Group files so that each group fits in one request; a file that is too large alone goes alone."""
    group: list[bytes] = []
    for data in files:
        if group and (len(group) == BATCH_IMAGES or sum(map(len, group)) + len(data) > BATCH_BYTES):
            yield group
            group = []
        group.append(data)
    if group:
        yield group


def sendable(images: Iterable[AnyImage], unread: dict[int, BatchItem]) -> Iterator[bytes]:
    """Yield what is sent of each image; one that cannot be read gets its own problem in `unread`, at its place."""
    for place, image in enumerate(images):
        try:
            yield file_bytes(image)
        except ImageNotRead as error:
            unread[place] = error.as_item()


def in_order(answered: Sequence[BatchItem], unread: Mapping[int, BatchItem]) -> list[BatchItem]:
    """Put what was not sent between what was answered, each at its place."""
    answers = iter(answered)
    found: list[BatchItem] = []
    while (item := unread.get(len(found)) or next(answers, None)) is not None:
        found.append(item)
    return found


def pause_s(outcome: httpx.Response | httpx.TransportError, retry: Retry, sent: int) -> float | None:
    """Return how long to wait before a request is sent again, or None: what came is its outcome."""
    if isinstance(outcome, httpx.TransportError):
        return retry.pause_s(sent, None) if isinstance(outcome, BROKEN) else None
    if outcome.status_code not in RETRIED_STATUSES:
        return None
    return retry.pause_s(sent, read_retry_after(outcome.headers.get("retry-after")))


def items_of(answer: BatchAnswer, sent: Sequence[bytes], url: str) -> list[BatchItem]:
    """Return the answer's items, one for each image that was sent.

    Raises:
        StrangeAnswer: their number is another.
    """
    if len(answer.items) != len(sent):
        raise StrangeAnswer(f"{url}/predict/batch answered {len(answer.items)} items for {len(sent)} images.")
    return answer.items


def _failure(response: httpx.Response, where: str, way: str) -> ClientError:
    status, problem = response.status_code, _problem(response)
    said = f"{status} {response.reason_phrase}".strip()
    detail = problem.detail if problem is not None else _without_problem(response) + way
    kind: type[ClientError] = Unavailable if status == 429 or status >= 500 else Refused
    if status < 400:
        kind = StrangeAnswer
    return kind(
        f"{where} answered {said}: {detail}",
        status=status,
        problem=problem,
        request_id=response.headers.get("x-request-id"),
        retry_after_s=read_retry_after(response.headers.get("retry-after")),
    )


def _problem(response: httpx.Response) -> ProblemDocument | None:
    try:
        return ProblemDocument.model_validate_json(response.content)
    except ValidationError:
        return None


def _without_problem(response: httpx.Response) -> str:
    if response.is_redirect:
        return f"it points to {response.headers.get('location')}; give that URL if you trust it."
    return "without a problem document, so it may be a proxy that speaks, or the URL be wrong."


def _no_answer(error: httpx.TransportError, where: str, times: int) -> str:
    tried = "" if times == 1 else f", {times} times"
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return f"cannot connect to {where}{tried} ({error or type(error).__name__}). Is the service up, the URL right?"
    if isinstance(error, httpx.TimeoutException):
        return f"{where} was silent for too long. Ask for less (a smaller report budget), or wait longer."
    return f"{where} broke off{tried} ({type(error).__name__}: {error})."


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
