"""How a user asks for data to be read, where looking alone does not tell."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Reading(BaseModel):
    """What was asked for; a run keeps it, so that its data is read the same way again.

    `ignore`: patterns of files and folders that are passed over, such as `samples` or `*.bak.jpg`.
    `dedupe`: images that are in train too, or nearly so, are left out of the other splits.
    `class_depth`: how many folders below the data, or below a split, the class folders lie; `leaf` for the deepest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ignore: tuple[str, ...] = ()
    dedupe: bool = False
    class_depth: int | Literal["leaf"] | None = None


AS_FOUND = Reading()
