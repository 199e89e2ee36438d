"""The web page, and the page that shows the interface: files that load nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from ..endpoint import Endpoint
from ..service_state import ServiceState

FOLDER = Path(__file__).parents[1] / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _file(
    path: str, name: str, summary: str, file: str, media_type: str, *, closed_by: Literal["page", "docs"] = "page"
) -> Endpoint:
    content = (FOLDER / file).read_bytes()

    async def answer(service: ServiceState, request: Request) -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return Endpoint(
        path=path,
        name=name,
        summary=summary,
        answer=answer,
        returns=media_type,
        example="…",
        needs_token=False,  # it asks for the token
        closed_by=closed_by,
    )


PAGE = (
    _file("/", "page", "The web page", "index.html", "text/html"),
    _file("/page.css", "page_style", "Its style", "page.css", "text/css"),
    _file("/page.js", "page_script", "Its script", "page.js", "text/javascript"),
)
DOCS = (
    _file("/docs", "docs", "The interface as a page", "docs.html", "text/html", closed_by="docs"),
    _file("/docs.css", "docs_style", "Its style", "docs.css", "text/css", closed_by="docs"),
    _file("/docs.js", "docs_script", "Its script", "docs.js", "text/javascript", closed_by="docs"),
)
