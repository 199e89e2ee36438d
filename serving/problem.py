"""Answers to requests that fail: RFC 9457 problem documents, never a stack trace."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse


class Problem(Exception):
    """A request that cannot be answered: the status, and what happened and what to do in `detail`."""

    def __init__(self, status: int, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


def problem_response(problem: Problem) -> JSONResponse:
    """Write a problem down as `application/problem+json`.

    Source: RFC 9457, "Problem Details for HTTP APIs", sections 3 and 4.2.1 (`about:blank`).
    """
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    return JSONResponse(
        body, status_code=problem.status, headers=problem.headers, media_type="application/problem+json"
    )
