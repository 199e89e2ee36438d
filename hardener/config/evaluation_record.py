"""What an evaluation's JSON says: written by the evaluation, read by the export and by scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardener.errors import HardenerError

EVALUATION_SCHEMA: Literal["hardener/eval/1"] = "hardener/eval/1"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class EvaluatedModel(_Strict):
    """`fingerprint` is the sha256 of the weights file; `run` and `recipe` are None for a model from elsewhere."""

    name: str
    run: str | None
    recipe: str | None
    fingerprint: str


class EvaluatedData(_Strict):
    """`split` is test, validation or all; `fingerprint` covers names and contents of the images that were used."""

    root: str
    split: Literal["test", "validation", "all"]
    images_in_split: int
    skipped: int
    fingerprint: str


class Threat(_Strict):
    norm: str
    eps: float


class EvaluatedAttack(_Strict):
    """`robust_accuracy` is the worst case after this attack and all before it in the list."""

    name: str
    settings: dict[str, Any]
    attacked: int
    broken: int
    robust_accuracy: float
    seconds: float


class Flag(_Strict):
    id: str
    message: str
    page: str


class PerClass(_Strict):
    name: str
    samples: int
    clean_accuracy: float
    robust_accuracy: float


class Evaluation(_Strict):
    """Fractions in [0, 1]. `robust_accuracy` is the worst case over `attacks`, image by image; `interval` its exact
    95 % interval; `per_image` a file beside this one."""

    schema_name: Literal["hardener/eval/1"] = Field(EVALUATION_SCHEMA, alias="schema")
    created_at: str
    model: EvaluatedModel
    data: EvaluatedData
    threat: Threat
    samples: int
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    interval: tuple[float, float]
    attacks: list[EvaluatedAttack]
    per_class: list[PerClass]
    per_image: str | None
    flags: list[Flag]
    seed: int
    device: str
    versions: dict[str, str]
    hardware: dict[str, Any]


def read_evaluations(folder: Path) -> list[Evaluation]:
    """Read every evaluation in a run's `eval` folder, oldest first.

    Raises:
        HardenerError: a file there is not one that this version reads.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Evaluation.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise HardenerError(f"{path} is no evaluation that this version reads: {place}: {first['msg']}.") from None
    return sorted(found, key=lambda evaluation: evaluation.created_at)
