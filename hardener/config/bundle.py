"""What `bundle.json` says: written by the export, read by the service. Imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardener.config.pixels import BEFORE, PixelRule
from hardener.errors import HardenerError

BUNDLE_SCHEMA: Literal["hardener/bundle/1"] = "hardener/bundle/1"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ModelFile(_Strict):
    file: str
    sha256: str
    bytes: int
    opset: int


class InputSpec(_Strict):
    """The graph's input `images`: uint8 (N, height, width, channels), decoded by the rule `pixels`.

    `resize` names how an image is brought to size. Bundles of version 0.1 hold no `pixels`. `batch` is the only N that
    the graph takes; None for any.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    resize: str
    pixels: PixelRule = BEFORE
    batch: int | None = Field(None, ge=1)


class OfflineRobustness(_Strict):
    """One evaluation: fractions in [0, 1]; `robust_accuracy` is the worst case over `attacks`, image by image."""

    split: str
    norm: str
    eps: float
    samples: int
    clean_accuracy: float
    robust_accuracy: float
    interval: tuple[float, float]
    attacks: list[str]
    evaluated_at: str


class Parity(_Strict):
    """How the ONNX file compares with the PyTorch model on real images."""

    images: int
    largest_logit_difference: float
    tolerance: float
    argmax_agreement: float


class ServedThreat(_Strict):
    """The norm and eps that a bounded attack on a served image uses: those of the evaluation, else of the recipe.

    The norms are those that the service's own Square knows.
    """

    norm: Literal["linf", "l2"]
    eps: float

    @classmethod
    def of(cls, norm: str, eps: float) -> ServedThreat | None:
        """Return the threat, or None in a norm that the service cannot attack in."""
        known = norm in get_args(cls.model_fields["norm"].annotation)
        return cls.model_validate({"norm": norm, "eps": eps}) if known else None


class Spread(_Strict):
    """Quantiles of one statistic over the training images: 0.01, 0.25, 0.5, 0.75, 0.99."""

    q01: float
    q25: float
    median: float
    q75: float
    q99: float


class TrainingImages(_Strict):
    """Simple statistics of `images` training images, drawn at random: of the files, and of the model's inputs.

    `width` and `height` are in pixels, of the files before scaling; the others are of the model's input in [0, 1]
    pixels, as `hardener.data.statistics` computes them.
    """

    images: int
    width: Spread
    height: Spread
    brightness: Spread
    contrast: Spread
    noise: Spread


class Quantization(_Strict):
    """What int8 cost: the same images through the quantised and the float32 file, accuracies in [0, 1].

    `robust_accuracy` is the worst case over `attacks`, image by image, and over what fooled the other file;
    `certified_accuracy` that of the smoothed classifier (noise of std `certified_noise_sigma`, on the first
    `certified_samples` images) at `certified_radius` (l2), None where not measured. `float32_layers` counts the layers
    that were kept in float32 for the sake of agreement, the last one not counted.
    """

    kind: Literal["int8"]
    calibration_images: int
    samples: int
    top1_agreement: float
    clean_accuracy: float
    clean_accuracy_float32: float
    norm: str
    eps: float
    attacks: list[str]
    robust_accuracy: float
    robust_accuracy_float32: float
    interval: tuple[float, float]
    certified_radius: float | None
    certified_accuracy: float | None
    certified_accuracy_float32: float | None
    certified_samples: int | None = None
    certified_noise_sigma: float | None = None
    float32_layers: int = 0


class Bundle(_Strict):
    """`bundle.json`. `fingerprint` is the sha256 of the run's weights; `noise_sigma` the noise of training, or None."""

    schema_name: Literal["hardener/bundle/1"] = Field(BUNDLE_SCHEMA, alias="schema")
    name: str
    created_at: str
    hardener_version: str
    recipe: str
    fingerprint: str
    model: ModelFile
    input: InputSpec
    classes: list[str]
    noise_sigma: float | None
    parity: Parity
    evaluation: OfflineRobustness | None
    evaluations: list[OfflineRobustness]
    threat: ServedThreat | None = None
    training_images: TrainingImages | None = None
    quantization: Quantization | None = None


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bundle(folder: Path) -> Bundle:
    """Read `bundle.json` and check that the model file beside it is the one it was written for.

    Raises:
        HardenerError: no bundle, a broken or foreign one, or a model file whose sha256 differs.
    """
    path = folder / "bundle.json"
    if not path.is_file():
        raise HardenerError(f"{folder} has no bundle.json. Make a bundle with `hardener export RUN`.")
    try:
        bundle = Bundle.model_validate_json(path.read_bytes())
    except (ValidationError, ValueError) as error:
        first = str(error).splitlines()[0:3]
        raise HardenerError(f"{path} is no bundle description that this version reads: {' '.join(first)}") from None
    model = folder / bundle.model.file
    if model.parent != folder or not model.is_file():
        raise HardenerError(f"{folder} lacks {bundle.model.file}. Export again with `hardener export RUN`.")
    found = sha256_of(model)
    if found != bundle.model.sha256:
        raise HardenerError(
            f"{model} is not the file that bundle.json describes: its sha256 is {found[:16]}…, expected "
            f"{bundle.model.sha256[:16]}…. It was changed, damaged or truncated; export again."
        )
    return bundle
