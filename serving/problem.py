"""Answers to requests that fail: RFC 9457 problem documents, never a stack trace."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse

from .schemas import ProblemDocument


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


def problem_response(problem: Problem) -> JSONResponse:
    """Answer with a problem as `application/problem+json`."""
    return JSONResponse(
        problem.document().model_dump(),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )
