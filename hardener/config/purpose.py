"""What a model is for, in its owner's words: the small YAML file that nobody else can write."""

from __future__ import annotations

import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardener.config.fault import all_faults, keys_of
from hardener.config.yaml_file import read_yaml
from hardener.errors import HardenerError

TEMPLATE = """\
# What the model is for. Fill it in, then: hardener dossier RUN --purpose purpose.yaml --out dossier.html
use: ""                   # what it decides, for whom, and what a wrong answer costs
operating_conditions: ""  # cameras, places, light, people, classes: which images it will see
who_decides: ""           # who acts on its answers, who may overrule them, who signs this file
threat_model: ""          # who would attack or disturb it, and why this norm and eps (or none) stand for that
not_for: ""               # may be left out: what it must not be used for
representative: ""        # may be left out: why the test images are like those of the operation
# review_by: 2027-06-30   # may be left out: the day by which it is tested again
"""


class Purpose(BaseModel):
    """The owner's words; the first four are needed."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    use: str = Field(min_length=1)
    operating_conditions: str = Field(min_length=1)
    who_decides: str = Field(min_length=1)
    threat_model: str = Field(min_length=1)
    not_for: str = ""
    representative: str = ""
    review_by: datetime.date | None = None


def read_purpose(path: Path) -> Purpose:
    """Read the owner's file.

    Raises:
        HardenerError: no such file, no YAML, unknown keys, or one that is not filled in; all faults together.
    """
    if not path.is_file():
        raise HardenerError(f"no purpose file {path}. A dossier without --purpose prints a template to fill in.")
    try:
        return Purpose.model_validate(read_yaml(path))
    except ValidationError as error:
        empty = [str(fault["loc"][0]) for fault in error.errors() if fault["type"] == "string_too_short"]
        if empty and len(empty) == error.error_count():
            raise HardenerError(f"{path}: not filled in: {', '.join(empty)}.") from None
        raise HardenerError(f"{path}: {all_faults(error, keys_of(Purpose))}") from None
