"""What was found where a user's data lies: one value for the terminal, run, report and card."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

SHOWN = 3


class LeftOut(BaseModel):
    """Files that are not used, for one reason: how many, and the first of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    count: int
    first: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.first) else ""
        return f"{self.count} {self.reason} ({', '.join(self.first)}{more})"


def left_out(reason: str, names: Iterable[str]) -> LeftOut | None:
    """Return what to say of files that are not used; None where there are none."""
    found = sorted(names)
    return LeftOut(reason=reason, count=len(found), first=tuple(found[:SHOWN])) if found else None
