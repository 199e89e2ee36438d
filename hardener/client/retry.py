"""When a request is sent again, and after which pause."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from hardener.client._connection import MOST_SILENCE_S
from hardener.client.error import ClientError

RETRIED_STATUSES = (429, 503)


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with jitter; `Retry(times=0)` never sends anything twice.

    Sending twice is safe: a prediction changes nothing in the service.

    Args:
        times: how often a request is sent again after a failed connection, 429 or 503.
        first_s: longest pause before the first of these, in seconds; it doubles with each.
        most_s: no backoff is longer.
        patience_s: a longer Retry-After is not waited for: the error is raised at once.
    Raises:
        ClientError: one is negative, NaN or more than a week.
    """

    times: int = 4
    first_s: float = 0.25
    most_s: float = 8.0
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not 0 <= value <= MOST_SILENCE_S:
                raise ClientError(f"{each.name} of Retry must lie from 0 to {MOST_SILENCE_S:.0f}; got {value}.")

    def pause_s(self, sent: int, retry_after_s: float | None) -> float | None:
        """Return the pause after the `sent`-th failure, in seconds, or None: give up.

        Half of the backoff is random, so that clients which failed together do not come back together. It is added to
        what Retry-After asks for, which is the least to wait.
        """
        if sent > self.times or (retry_after_s or 0) > self.patience_s:
            return None
        backoff = min(self.most_s, self.first_s * 2.0 ** min(sent - 1, 64))
        return (retry_after_s or 0) + backoff * random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret


def read_retry_after(text: str | None) -> float | None:
    """Read a Retry-After header, seconds or a date, as seconds from now; None where it is missing or unreadable.

    Source: RFC 9110, section 10.2.3.
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
