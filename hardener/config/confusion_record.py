"""What an evaluation's record says of which classes are taken for which."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Confused(_Strict):
    """So many `images` of the class `label` were taken for the class `became`, another one."""

    label: str
    became: str
    images: int


class Confusion(_Strict):
    """Which classes are taken for which, the most images first; what is not listed did not happen.

    `clean` counts untouched images that the model gets wrong, `turned` those that it gets right and that an attack
    turned into another class: the first attack that broke each.
    """

    clean: list[Confused]
    turned: list[Confused]
