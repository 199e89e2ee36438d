"""What a comparison of runs says: what `hardener compare --json` writes, and what table, chart and page show."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hardener.statistics.paired import Difference

COMPARE_SCHEMA: Literal["hardener/compare/1"] = "hardener/compare/1"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ComparedRun(_Strict):
    """A run that is compared. `seconds` is training time, None where it is not known."""

    name: str
    path: str
    recipe: str
    parameters: int
    seconds: float | None
    device: str


class ComparedResult(_Strict):
    """One run under one threat model. The differences are to the first run, None for that run itself.

    The balanced accuracies are means over classes, where these differ by more than 3 times in images.
    """

    evaluated_at: str
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    interval: tuple[float, float]
    verdict: str
    reason: str
    flags: list[str]
    clean_difference: Difference | None
    robust_difference: Difference | None
    clean_balanced: float | None = None
    robust_balanced: float | None = None


class ComparedAttack(_Strict):
    """What each run had left after this attack and all before it. `alike`: these ran with the same settings."""

    label: str
    accuracies: list[float]
    alike: bool


class ComparedThreat(_Strict):
    """All runs under one threat model, on the same images. `cw` is what C&W left, None for runs without it.

    `norm` and `eps` are of a ball, None of another threat model. `data` is the folder of images that not all runs held
    out themselves; None: all did.
    """

    name: str
    norm: str | None
    eps: float | None
    split: str
    data: str | None = None
    samples: int
    fingerprint: str
    results: list[ComparedResult]
    attacks: list[ComparedAttack]
    cw: list[float | None]

    @property
    def images(self) -> str:
        """What was evaluated on, such as `the test split`."""
        return f"the {self.split} split" + ("" if self.data is None else f" of {self.data}")


class ComparedMeasure(_Strict):
    """A measure beyond attacks: one value a run, None where it was not measured on these images.

    A `unit` of `share` is a fraction in [0, 1]; `better` says which way is good, if one is.
    """

    label: str
    detail: str
    values: list[float | None]
    unit: str = "share"
    better: Literal["higher", "lower", "none"] = "higher"


class RadarAxis(_Strict):
    label: str
    values: list[float | None]


class Comparison(_Strict):
    """Everything `hardener compare` says; lists go by the order of `runs`."""

    schema_name: Literal["hardener/compare/1"] = Field(COMPARE_SCHEMA, alias="schema")
    created_at: str
    runs: list[ComparedRun]
    threats: list[ComparedThreat]
    invariance: ComparedMeasure | None
    corruption: ComparedMeasure | None
    certified: list[ComparedMeasure]
    measured: list[ComparedMeasure] = []
    radar: list[RadarAxis]
    notes: list[str]
