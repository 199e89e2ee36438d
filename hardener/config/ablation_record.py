"""What `ablation.json` says: what was asked for, and what each combination of modules and each module gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardener.config.evaluation_record import EvaluatedThreat
from hardener.config.fault import first_fault
from hardener.config.files import write_json
from hardener.config.reading import AS_FOUND, Reading
from hardener.errors import HardenerError

ABLATION_SCHEMA: Literal["hardener/ablation/1"] = "hardener/ablation/1"
Module = Literal["noise", "mixup", "labels"]
MODULES: tuple[Module, ...] = ("noise", "mixup", "labels")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Asked(_Strict):
    """Everything that decides the result; an ablation goes on only where all of it is the same.

    `recipe` is resolved and has all modules on. `model_sha256`: of the model file, None for a registry's model.
    `samples`: images to evaluate on, at most. `precision`: of the attacks' gradients.
    """

    model: str
    model_sha256: str | None
    entry: str | None
    model_args: dict[str, Any] = {}
    data: str
    val: str | None = None
    test: str | None = None
    skip_bad_images: bool
    recipe: dict[str, Any]
    seed: int
    suite: str | None
    attacks: list[str]
    threat: EvaluatedThreat
    samples: int
    precision: str
    reading: Reading = AS_FOUND


class Combination(_Strict):
    """One of the eight. `evaluation` lies in the folder `run`, `fingerprint` is the sha256 of the weights.

    `seconds` is training time, validation included; `epoch_seconds` what an epoch's steps take at the epochs' median
    rate; `cost` is that as a multiple of natural's, None where the two were trained on different devices.
    """

    name: str
    modules: list[Module]
    run: str
    evaluation: str
    fingerprint: str
    device: str
    best_epoch: int
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    interval: tuple[float, float]
    verdict: str
    flags: list[str]
    seconds: float
    epoch_seconds: float
    cost: float | None = None


class Change(_Strict):
    """A mean difference of accuracies, in [-1, 1], and its 95 % interval over images."""

    difference: float
    interval: tuple[float, float]


class Effect(_Strict):
    """What a module changes: with it minus without it, the mean over the four pairs that differ in nothing else."""

    module: Module
    clean: Change
    robust: Change


class Ablation(_Strict):
    """Fractions in [0, 1]; `robust_accuracy` is the worst case over the attacks, `samples` how many images there were.

    While work goes on, `combinations` holds those that are done, and `effects` nothing.
    """

    schema_name: Literal["hardener/ablation/1"] = Field(ABLATION_SCHEMA, alias="schema")
    status: Literal["running", "finished"]
    created_at: str
    asked: Asked
    split: Literal["test", "validation", "all"] | None = None
    samples: int | None = None
    data_fingerprint: str | None = None
    combinations: list[Combination] = []
    effects: list[Effect] = []
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}


def weakest_first(ablation: Ablation) -> list[Combination]:
    """Return the combinations in the order in which table and figure show them."""
    return sorted(ablation.combinations, key=lambda done: (done.robust_accuracy, done.clean_accuracy))


def read_ablation(path: Path) -> Ablation:
    """Read an `ablation.json`.

    Raises:
        HardenerError: one that this version does not read.
    """
    try:
        return Ablation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise HardenerError(f"{path} is no ablation that this version reads: {first_fault(error)}.") from None


def write_ablation(ablation: Ablation, path: Path) -> None:
    """Write an `ablation.json` whole."""
    write_json(path, ablation.model_dump(by_alias=True))
