"""What a run must reach: the owner's `requirements.yaml`, which gate, dossier, export and service speak of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hardener.config.fault import all_faults, keys_of
from hardener.config.yaml_file import read_yaml
from hardener.errors import HardenerError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, coerce_numbers_to_str=True)


Bound = Annotated[str, BeforeValidator(str)]
"""As it was written, whatever it is: whoever judges reads it as a share."""


class Requirement(_Strict):
    """One line: `measure` as `hardener gate --min` takes it, with the least share, or the largest drop, or both."""

    measure: str
    min: Bound | None = None
    max_drop: Bound | None = Field(None, alias="max-drop")
    why: str = ""


class Requirements(_Strict):
    """The file as a whole."""

    requirements: list[Requirement] = Field(min_length=1)


def read_requirements(path: Path) -> list[Requirement]:
    """Read the owner's file; what its measures mean is checked by whoever judges.

    Raises:
        HardenerError: no such file, no YAML, an unknown key, or a line that asks for nothing; all faults together.
    """
    if not path.is_file():
        raise HardenerError(f"no requirements file {path}.")
    fields = read_yaml(path)
    try:
        found = Requirements.model_validate(fields).requirements
    except ValidationError as error:
        raise HardenerError(f"{path}: {all_faults(error, keys_of(Requirements))}") from None
    empty = [str(number) for number, item in enumerate(found, start=1) if item.min is None and item.max_drop is None]
    if empty:
        raise HardenerError(f"{path}: number {', '.join(empty)} asks for nothing: give min, or max-drop.")
    return found
