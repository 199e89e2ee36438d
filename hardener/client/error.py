"""What a client raises: one family, which carries the service's own words."""

from __future__ import annotations

from hardener.config.answer import BatchItem, ProblemDocument
from hardener.errors import HardenerError


class ClientError(HardenerError):
    """An image was not answered. `str(error)` says what happened and what to do.

    Attributes:
        status: of the HTTP answer; None where there was none.
        problem: the service's problem document (RFC 9457); None where the answer held none.
        request_id: under which the service's log has the request; None where it was not said.
        retry_after_s: what the service asked to wait, in seconds; None where it did not.
        answered: of several images, the items of the first ones, which were answered before.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        problem: ProblemDocument | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.answered: list[BatchItem] = []


class ImageNotRead(ClientError):
    """What was given is no image that could be sent; nothing was sent."""

    def as_item(self) -> BatchItem:
        """Return it as the problem of one image among others, as the service tells that of an empty one."""
        problem = ProblemDocument(type="about:blank", title="Unsupported Media Type", status=415, detail=str(self))
        return BatchItem(prediction=None, problem=problem)


class Refused(ClientError):
    """The service does not take this request, now or later: any 4xx but 429."""


class Unavailable(ClientError):
    """The service could not answer this time: 429 or 5xx, after all retries."""

    exit_code = 1


class NoAnswer(ClientError):
    """No answer came: no connection, one that broke, or silence for too long; after all retries."""

    exit_code = 1


class StrangeAnswer(ClientError):
    """What answered is no service that this version knows, such as a proxy's login page."""

    exit_code = 1
