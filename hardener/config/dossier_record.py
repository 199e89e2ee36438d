"""What a dossier says: one value for the page, the JSON, and the dossier that comes after it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardener.config.bundle import Parity, Quantization
from hardener.config.data_findings import DataFound
from hardener.config.evaluation_record import Evaluation
from hardener.config.fault import first_fault
from hardener.config.purpose import Purpose
from hardener.errors import HardenerError

DOSSIER_SCHEMA: Literal["hardener/dossier/1"] = "hardener/dossier/1"
State = Literal["met", "not met", "not measured", "measured"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Beside(_Strict):
    """The same figure of another run. `same_images`: on the same images."""

    run: str
    value: float
    interval: tuple[float, float]
    samples: int
    same_images: bool


class Evidence(_Strict):
    """One row: what is asked, and what was measured for it.

    `requirement` is None where nobody asked for it. `value` and `interval` (95 %) are fractions in [0, 1] of `samples`
    images; `set_up` says how it was measured. `command` measures it, or measures it again. `flags` are those of the
    evaluation. `remarks` say what must not be missed beside the figure.
    """

    about: str
    requirement: str | None = None
    why: str = ""
    state: State
    value: float | None = None
    interval: tuple[float, float] | None = None
    samples: int | None = None
    set_up: str = ""
    evaluated_at: str | None = None
    flags: list[str] = []
    remarks: list[str] = []
    command: str | None = None
    beside: Beside | None = None


class HashedFile(_Strict):
    """A file of the run, by its path in the run's folder."""

    file: str
    sha256: str
    bytes: int


class Identity(_Strict):
    """What exactly is spoken of. `listings`: sha256 over the file names of each split; `fingerprints`: over names and
    contents of the images as training read them. `commands` make it again, in this order. `ended`: why it has fewer
    epochs than its recipe, and what that does to these; empty where it has all, and in a dossier of 0.2 and before.
    `weights_gone`: what that means for the figures; empty where the weights are there."""

    run: str
    recipe: str
    network: str
    parameters: int
    classes: list[str]
    status: str
    seed: int
    files: list[HashedFile]
    listings: dict[str, str]
    fingerprints: dict[str, str]
    hardener_version: str
    versions: dict[str, str]
    commands: list[str]
    ended: str = ""
    weights_gone: str = ""


class DossierData(_Strict):
    """The images: where training found them, and those that were evaluated."""

    root: str
    found: DataFound | None
    evaluated: DataFound | None
    remarks: list[str]


class DeployedFile(_Strict):
    """An exported file of these weights: how it compares with the network, and what quantising it cost.

    `flags` and `data` are of that cost's images: what makes its figures less trustworthy, and the name of other data
    than the run's own.
    """

    file: str
    kind: Literal["float32", "int8"]
    sha256: str
    parity: Parity
    quantization: Quantization | None
    flags: list[str] = []
    data: str | None = None


class Change(_Strict):
    """What is another than in the last dossier; None: it was not there, or is no longer."""

    what: str
    before: str | None
    now: str | None


class Answered(_Strict):
    """Where a point of a document is answered: the section's name, or None where this file does not answer it."""

    document: str
    point: str
    section: str | None
    state: Literal["answered", "in part", "not measured", "not in this file"]
    note: str


class Dossier(_Strict):
    """The file that an auditor asks for. `evaluations` are those that it speaks from, whole, the leading one first."""

    schema_name: Literal["hardener/dossier/1"] = Field(DOSSIER_SCHEMA, alias="schema")
    created_at: str
    hardener_version: str
    purpose: Purpose | None
    identity: Identity
    data: DossierData
    requirements: list[Evidence]
    evidence: list[Evidence]
    evaluations: list[Evaluation]
    weak_classes: list[str]
    deployed: list[DeployedFile]
    not_deployed: str
    since: str | None
    changes: list[Change]
    test_again: list[str]
    mapping: list[Answered]

    def count(self, state: State) -> int:
        """Return how many requirements are in this state."""
        return sum(row.state == state for row in self.requirements)


def read_dossier(path: Path) -> Dossier:
    """Read a dossier's JSON.

    Raises:
        HardenerError: no such file, or none that this version reads.
    """
    if not path.is_file():
        raise HardenerError(f"no dossier {path}. It is the .json that lies beside a dossier's page.")
    try:
        return Dossier.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise HardenerError(f"{path} is no dossier that this version reads: {first_fault(error)}.") from None
