"""What an evaluation's JSON says: written by the evaluation, read by the export and by scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardener.config.confusion_record import Confusion
from hardener.config.data_findings import DataFound
from hardener.config.fault import first_fault
from hardener.config.reading import Reading
from hardener.errors import HardenerError
from hardener.threat import ChangeThreat, ThreatModel

EVALUATION_SCHEMA: Literal["hardener/eval/4"] = "hardener/eval/4"
"""2 adds `precision`, 3 `request` and `measured`, 4 threats without a norm. Files of older versions are read
as well; attacks of version 1 all ran in float32."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class EvaluatedModel(_Strict):
    """`fingerprint` is the sha256 of the weights file; `run` and `recipe` are None for a model from elsewhere."""

    name: str
    run: str | None
    recipe: str | None
    fingerprint: str


class EvaluatedData(_Strict):
    """`split` is test, validation or all; `fingerprint` covers names and contents of the images that were read.

    `found`: what was found there, and which the run had seen. `own`: the run held them out; None: that is not known.
    """

    root: str
    split: Literal["test", "validation", "all"]
    images_in_split: int
    skipped: int
    fingerprint: str
    found: DataFound | None = None
    own: bool | None = None


class EvaluatedThreat(_Strict):
    norm: str
    eps: float

    @property
    def model(self) -> ThreatModel:
        """As the code speaks of it."""
        return ThreatModel(self.norm, self.eps)


class EvaluatedChange(_Strict):
    """A threat model without a norm: `settings` has all of them, `given` names those that are not the defaults.

    `reach`: what the attacker may do, one sentence.
    """

    kind: str
    settings: dict[str, float | tuple[float, float]]
    given: list[str] = []
    reach: str

    @property
    def model(self) -> ChangeThreat:
        """As the code speaks of it."""
        return ChangeThreat(self.kind, tuple(sorted(self.settings.items())), tuple(self.given), self.reach)


class EvaluationRequest(_Strict):
    """What was asked of `hardener eval`, so that it can be asked again; None and what is empty: left to its default.

    `target` is a run, an ONNX file or a model's code. `settings` are those of the attacks that were named, under the
    names of their options: steps, step_size, random_start. `threat` is one without a norm, in place of norm and eps,
    and `ranges` those of its settings that were given. `sections` are the words that ask for measures, `radii` those to
    certify at. `reading`: how the data is read, None as the run read its own. Those from `init` on are of a
    target that was not trained here.
    """

    target: str | None = None
    data: str | None = None
    suite: str | None = None
    attacks: list[str] = []
    norm: str = "linf"
    eps: float | None = None
    threat: str | None = None
    ranges: dict[str, float | tuple[float, float]] = {}
    settings: dict[str, int | float | bool | str] = {}
    restarts: int = 1
    surrogate: str | None = None
    sections: list[str] = []
    samples: int | None = None
    batch_size: int | None = None
    device: str = "auto"
    seed: int | None = None
    precision: str = "auto"
    skip_bad_images: bool = False
    init: str | None = None
    weights: str | None = None
    normalize: str | None = None
    entry: str | None = None
    image_size: tuple[int, int] | None = None
    range: tuple[float, float] | None = None
    allow_pickle: bool = False
    model_args: dict[str, Any] = {}
    root: str | None = None
    reading: Reading | None = None
    dedupe: bool = False
    radii: list[float] = []


class EvaluatedAttack(_Strict):
    """`robust_accuracy` is the worst case after this attack and all before it in the list."""

    name: str
    settings: dict[str, Any]
    attacked: int
    broken: int
    robust_accuracy: float
    seconds: float


class Precision(_Strict):
    """In which numbers attacks took gradients: `bfloat16` if some attack did (its setting `bf16` is true).

    Whatever they found was classified again in float32 before it counted.
    """

    attacks: Literal["float32", "bfloat16"]
    reason: str


class Flag(_Strict):
    """Something that makes a figure less trustworthy than it looks; `page` tells what it means and what to do."""

    id: str
    message: str
    page: str


class Check(_Strict):
    """One question of the audit. `value` is what was measured, `raised` whether it became a flag; None: not asked."""

    id: str
    question: str
    answer: str
    value: float | None
    raised: bool | None


class PerClass(_Strict):
    """One class, with the exact 95 % intervals of its accuracies; None in a record of before these were kept."""

    name: str
    samples: int
    clean_accuracy: float
    robust_accuracy: float
    clean_interval: tuple[float, float] | None = None
    robust_interval: tuple[float, float] | None = None


class Balanced(_Strict):
    """Means over the classes that have images, where the largest has more than 3 times the images of the smallest."""

    classes: int
    clean_accuracy: float
    robust_accuracy: float


class Distances(_Strict):
    """Norms of the smallest adversarial perturbations found, over images that are right when clean.

    An upper bound for each image; `found` counts the images for which any was found, of `samples`.
    """

    samples: int
    found: int
    quartiles: tuple[float, float, float] | None


class CurvePoint(_Strict):
    parameter: float
    accuracy: float
    interval: tuple[float, float]


class InvarianceCurve(_Strict):
    """Accuracy against the strength of a change that keeps the label; `identity` is the parameter of no change."""

    name: str
    unit: str
    identity: float
    samples: int
    points: list[CurvePoint]


class CorruptionKind(_Strict):
    """Accuracy at severities 1 to 5."""

    name: str
    family: Literal["noise", "blur", "weather", "digital"]
    accuracies: list[float]


class CorruptedClass(_Strict):
    """A class's accuracy at severities 1 to 5, the mean over kinds, on `samples` images of it."""

    name: str
    samples: int
    accuracies: list[float]


class CorruptedCell(_Strict):
    """A kind at a severity, 1 to 5."""

    kind: str
    severity: int
    accuracy: float


class Corruptions(_Strict):
    """`mean_corruption_error` is 1 - accuracy, averaged over severities, then kinds; relative to no other network.

    `by_severity` is the mean over kinds, `parameter` the severity, with Hoeffding's interval. `standing_out`: cells
    that fall more than the rest. Its 95 % interval ends below the lower fence (Tukey's) of all kinds at its severity.
    """

    samples: int
    kinds: list[CorruptionKind]
    mean_corruption_error: float
    by_severity: list[CurvePoint] = []
    classes: list[CorruptedClass] = []
    standing_out: list[CorruptedCell] = []
    note: str


class Certification(_Strict):
    """Randomized smoothing: `accuracy` is the share of images answered rightly and certified to `parameter` (l2).

    `draws` is how many an image gets at most, and `mean_draws` how many it took; None: all of them. Of `undecided`
    images the next radius was given up or left open: it counts as not certified. `noise_is_default`: training had none.
    """

    samples: int
    noise_sigma: float
    noise_is_default: bool = False
    selection_draws: int
    draws: int
    mean_draws: float | None = None
    undecided: int = 0
    confidence: float
    abstained: int
    smoothed_accuracy: float
    points: list[CurvePoint]


class Clever(_Strict):
    """CLEVER scores: estimates, not bounds, of the smallest distance to another class; None where all are infinite."""

    samples: int
    norm: str
    batches: int
    batch_size: int
    radius: float
    mean: float
    quartiles: tuple[float, float, float]


class CalibrationBin(_Strict):
    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


class Calibration(_Strict):
    """`expected_error` is the ECE over the bins of the clean images' confidences."""

    samples: int
    expected_error: float
    bins: list[CalibrationBin]


class EpsCurve(_Strict):
    """One attack's robust accuracy from eps 0 upwards; `parameter` is eps."""

    attack: str
    samples: int
    points: list[CurvePoint]


class Landscape(_Strict):
    """Loss over a plane through one image: `steps` along the gradient (rows) and a random direction (columns)."""

    path: str
    steps: list[float]
    loss: list[list[float]]


class MeasuredFigure(_Strict):
    """One number. A `unit` of `share` is a fraction in [0, 1]; `better` says which way is good, if one is."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    unit: str = ""
    better: Literal["higher", "lower", "none"] = "none"


class MeasuredCurve(_Strict):
    """Accuracy against a parameter; `unit` is the parameter's."""

    name: str
    unit: str = ""
    points: list[CurvePoint]


class Measured(_Strict):
    """What a measure without fields of its own found on `samples` images; `note` tells how to read it."""

    title: str
    samples: int
    figures: list[MeasuredFigure]
    curves: list[MeasuredCurve] = []
    note: str = ""


class Evaluation(_Strict):
    """Fractions in [0, 1]. `robust_accuracy` is the worst case over `attacks`, image by image; `interval` its exact
    95 % interval; `per_image` a file beside this one, and `per_image_table` the same as Parquet. `weak_classes` are
    surely far less robust than the mean over classes. `went_on` is the suite that the evaluation went on to by itself
    after `suite`, `because` the questions of the audit that made it. A section that was not asked for is None
    or empty. `measured` holds what measures found that have no section of their own, by the measure's name."""

    schema_name: Literal["hardener/eval/1", "hardener/eval/2", "hardener/eval/3", "hardener/eval/4"] = Field(
        EVALUATION_SCHEMA, alias="schema"
    )
    created_at: str
    model: EvaluatedModel
    data: EvaluatedData
    threat: EvaluatedThreat | EvaluatedChange
    suite: str | None = None
    went_on: str | None = None
    because: list[str] = []
    samples: int
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    interval: tuple[float, float]
    verdict: Literal["robust", "partly robust", "not robust", "inconclusive"]
    reason: str
    attacks: list[EvaluatedAttack]
    precision: Precision | None = None
    not_run: list[str] = []
    per_class: list[PerClass]
    confusion: Confusion | None = None
    weak_classes: list[str] = []
    balanced: Balanced | None = None
    per_image: str | None
    per_image_table: str | None = None
    flags: list[Flag]
    checks: list[Check] = []
    distances: Distances | None = None
    eps_curves: list[EpsCurve] = []
    calibration: Calibration | None = None
    invariances: list[InvarianceCurve] = []
    corruptions: Corruptions | None = None
    certification: Certification | None = None
    clever: Clever | None = None
    landscape: Landscape | None = None
    measured: dict[str, Measured] = {}
    request: EvaluationRequest | None = None
    seconds: float = 0.0
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
            raise HardenerError(f"{path} is no evaluation that this version reads: {first_fault(error)}.") from None
    return sorted(found, key=lambda evaluation: evaluation.created_at)
