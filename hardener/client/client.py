"""Ask a running service about images: `Client` waits, `AsyncClient` lets others work meanwhile.

with Client("http://127.0.0.1:3000") as client:
    print(client.predict("cat.jpg").label)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

import httpx

from hardener.client._call import (
    Answer,
    Call,
    batch_call,
    chunks,
    in_order,
    items_of,
    model_call,
    models_call,
    pause_s,
    predict_call,
    report_call,
    sendable,
)
from hardener.client._connection import opened, shown, way_to
from hardener.client.error import ClientError
from hardener.client.image import file_bytes
from hardener.client.retry import Retry
from hardener.config.answer import BatchItem, ModelInfo, ModelList, Prediction

if TYPE_CHECKING:
    from hardener.client.image import AnyImage

DEFAULT_URL = "http://127.0.0.1:3000"
SILENCE_S = 60.0


class Client:
    """A connection to a service. Threads may share one; close it, or use it in a `with`.

    Args:
        url: where the service is, with a path where a proxy puts it below one.
        token: sent as `Authorization: Bearer`; None where the service asks for none. Over plain http everyone on
            the way can read it.
        timeout_s: the longest silence of the service that is borne, in seconds.
        retry: when a request is sent again.
        transport: of httpx, for tests and special connections.
    Raises:
        ClientError: the URL, the token or the time is none, or the environment's proxy or certificates cannot be used.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_s: float = SILENCE_S,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._retry = retry or Retry()
        self._http = opened(httpx.Client, url, token, timeout_s, transport)
        self._url, self._way = shown(self._http.base_url), "" if transport else way_to(self._http.base_url)

    def predict(self, image: AnyImage, *, top_k: int | None = None, model: str | None = None) -> Prediction:
        """Classify an image.

        Args:
            image: a path, the bytes of a file, a PIL image or a uint8 array; see `hardener.client.image`.
            top_k: how many of the likeliest classes to name; None: all.
            model: its name; None: the service's default.
        Raises:
            ClientError: there is no answer; the subclass says of which kind.
        """
        return self._send(predict_call(file_bytes(image), top_k=top_k, model=model))

    def report(
        self,
        image: AnyImage,
        *,
        top_k: int | None = None,
        model: str | None = None,
        draws: int | None = None,
        queries: int | None = None,
        budget_s: float | None = None,
        found_image: bool | None = None,
    ) -> Prediction:
        """Classify an image and say how robust this answer is; `report` of the result is never None.

        Args:
            image, top_k, model: as `predict` takes them.
            draws: of noise at most, for the certificate; more may certify a larger radius.
            queries: that the attack may make.
            budget_s: for the whole report, in seconds. The service caps this and the two above, and says so.
            found_image: be sent the adversarial image, where the attack finds one: `report.attack.image_file()`.
        Raises:
            ClientError: there is no answer; the subclass says of which kind.
        """
        call = report_call(
            file_bytes(image),
            silence_s=self._timeout_s,
            top_k=top_k,
            model=model,
            draws=draws,
            queries=queries,
            budget_s=budget_s,
            found_image=found_image,
        )
        return self._send(call)

    def predict_batch(
        self, images: Iterable[AnyImage], *, top_k: int | None = None, model: str | None = None
    ) -> list[BatchItem]:
        """Classify any number of images, a few dozen a request; a bad one gets its own problem and spoils no other.

        Args:
            images, top_k, model: as `predict` takes them.
        Returns:
            an item an image, in order.
        Raises:
            ClientError: a whole request failed. `answered` of the error holds the items of those before it.
        """
        items: list[BatchItem] = []
        unread: dict[int, BatchItem] = {}
        for group in chunks(sendable(images, unread)):
            try:
                answer = self._send(batch_call(group, top_k=top_k, model=model))
                items += items_of(answer, group, self._url)
            except ClientError as error:
                error.answered = in_order(items, unread)
                raise
        return in_order(items, unread)

    def model(self, name: str | None = None) -> ModelInfo:
        """Describe a model; None: the service's default."""
        return self._send(model_call(name))

    def models(self) -> ModelList:
        """List what is served."""
        return self._send(models_call())

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: Call[Answer]) -> Answer:
        sent = 0
        while True:
            try:
                outcome: httpx.Response | httpx.TransportError = self._http.request(**call.arguments())
            except httpx.TransportError as error:
                outcome = error
            sent += 1
            pause = pause_s(outcome, self._retry, sent)
            if pause is None:
                return call.read(outcome, self._url, sent, self._way)
            time.sleep(pause)


class AsyncClient:
    """The same for asyncio: each method of `Client`, awaited; see there for arguments and errors."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_s: float = SILENCE_S,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._retry = retry or Retry()
        self._http = opened(httpx.AsyncClient, url, token, timeout_s, transport)
        self._url, self._way = shown(self._http.base_url), "" if transport else way_to(self._http.base_url)

    async def predict(self, image: AnyImage, *, top_k: int | None = None, model: str | None = None) -> Prediction:
        """Classify an image."""
        data = await asyncio.to_thread(file_bytes, image)
        return await self._send(predict_call(data, top_k=top_k, model=model))

    async def report(
        self,
        image: AnyImage,
        *,
        top_k: int | None = None,
        model: str | None = None,
        draws: int | None = None,
        queries: int | None = None,
        budget_s: float | None = None,
        found_image: bool | None = None,
    ) -> Prediction:
        """Classify an image and say how robust this answer is."""
        call = report_call(
            await asyncio.to_thread(file_bytes, image),
            silence_s=self._timeout_s,
            top_k=top_k,
            model=model,
            draws=draws,
            queries=queries,
            budget_s=budget_s,
            found_image=found_image,
        )
        return await self._send(call)

    async def predict_batch(
        self, images: Iterable[AnyImage], *, top_k: int | None = None, model: str | None = None
    ) -> list[BatchItem]:
        """Classify any number of images; a bad one gets its own problem and spoils no other."""
        items: list[BatchItem] = []
        unread: dict[int, BatchItem] = {}
        groups = chunks(sendable(images, unread))
        while group := await asyncio.to_thread(next, groups, None):
            try:
                answer = await self._send(batch_call(group, top_k=top_k, model=model))
                items += items_of(answer, group, self._url)
            except ClientError as error:
                error.answered = in_order(items, unread)
                raise
        return in_order(items, unread)

    async def model(self, name: str | None = None) -> ModelInfo:
        """Describe a model; None: the service's default."""
        return await self._send(model_call(name))

    async def models(self) -> ModelList:
        """List what is served."""
        return await self._send(models_call())

    async def aclose(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _send(self, call: Call[Answer]) -> Answer:
        sent = 0
        while True:
            try:
                outcome: httpx.Response | httpx.TransportError = await self._http.request(**call.arguments())
            except httpx.TransportError as error:
                outcome = error
            sent += 1
            pause = pause_s(outcome, self._retry, sent)
            if pause is None:
                return call.read(outcome, self._url, sent, self._way)
            await asyncio.sleep(pause)
