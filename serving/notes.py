"""What is noted of a request while it is answered."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope


@dataclass
class Notes:
    """What is known of a request so far; whoever learns a thing writes it here, for the log."""

    request_id: str = ""
    client: str | None = None
    caller: str = ""  # a token's name, or where there are none the network of the client
    token: str | None = None
    model: str | None = None
    status: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    problem: str | None = None
    fault: Exception | None = None


def notes_of(scope: Scope) -> Notes:
    """Find the notes of a request; outside an `Observer` they are new and nobody reads them."""
    found: Notes = scope.setdefault("hardener.notes", Notes())
    return found
