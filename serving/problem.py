"""Answers to requests that fail: RFC 9457 problem documents, never a stack trace."""

from __future__ import annotations

import functools
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hardener.config.answer import ProblemDocument

from .notes import notes_of


class Problem(Exception):
    """A request that cannot be answered: the status, and what happened and what to do in `detail`."""

    def __init__(
        self, status: int, detail: str, *, retry_after_s: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = (headers or {}) | ({} if retry_after_s is None else {"Retry-After": str(retry_after_s)})

    def document(self) -> ProblemDocument:
        """Write it down.

        Source: RFC 9457, "Problem Details for HTTP APIs", sections 3 and 4.2.1 (`about:blank`).
        """
        title = HTTPStatus(self.status).phrase
        return ProblemDocument(type="about:blank", title=title, status=self.status, detail=self.detail)


class ProblemResponse(Response):
    """Answers with a problem as `application/problem+json`, and notes its detail for the log."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(
            _body(problem.status, problem.detail),
            status_code=problem.status,
            headers=problem.headers,
            media_type="application/problem+json",
        )
        self._detail = problem.detail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        notes_of(scope).problem = self._detail
        await super().__call__(scope, receive, send)


@functools.lru_cache(maxsize=64)  # in a storm of requests all are refused with the same words
def _body(status: int, detail: str) -> bytes:
    return Problem(status, detail).document().model_dump_json().encode()
