"""What `bundle.json` says: written by the export, read by the service. Imports no torch.

A bundle may come from elsewhere, so every value has a range: what is read here can be served, shown and certified with.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from hardener.config.onnx_file import NoOnnxFile, keeps_weights_elsewhere
from hardener.config.pixels import BEFORE, PixelRule
from hardener.config.quantity import LARGEST_NOISE_SIGMA, LARGEST_SIDE
from hardener.errors import HardenerError
from hardener.threat import ThreatModel
from hardener.words import odd_letter, one_line

BUNDLE_SCHEMA: Literal["hardener/bundle/1"] = "hardener/bundle/1"
DESCRIPTION_FILE = "bundle.json"
CARD_FILE = "model_card.md"
_MEBIBYTE = 1 << 20
LARGEST_DESCRIPTION, LARGEST_CARD, LARGEST_INPUT = 16 * _MEBIBYTE, 4 * _MEBIBYTE, 256 * _MEBIBYTE
LONGEST_LINE = 1000
_LARGEST_EPS = 1e9


def _line(text: str) -> str:
    odd = odd_letter(text)
    if odd is not None:
        raise ValueError(f"it holds {odd!r}, which is no character to be read")
    return text


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):  # Python takes true for 1
        raise ValueError("it must be a number")
    return value


Line = Annotated[str, Field(max_length=LONGEST_LINE), AfterValidator(_line)]
Name = Annotated[Line, Field(min_length=1, pattern=r"\S")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**53)]
NotNegative = Annotated[float, Field(ge=0)]
NoiseSigma = Annotated[float, Field(gt=0, le=LARGEST_NOISE_SIGMA)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class ModelFile(_Strict):
    file: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: Count
    opset: int = Field(ge=1, le=1000)


class InputSpec(_Strict):
    """The graph's input `images`: uint8 (N, height, width, channels), decoded by the rule `pixels`.

    `resize` names how an image is brought to size. Bundles of version 0.1 hold no `pixels`. `batch` is the only N that
    the graph takes; None for any.
    """

    height: int = Field(ge=1, le=LARGEST_SIDE)
    width: int = Field(ge=1, le=LARGEST_SIDE)
    channels: Annotated[Literal[1, 3], BeforeValidator(_no_truth_value)]
    resize: Line
    pixels: PixelRule = BEFORE
    batch: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _fits_memory(self) -> Self:
        size = self.height * self.width * self.channels * (self.batch or 1)
        if size > LARGEST_INPUT:
            raise ValueError(f"one input of the model has {size:,} bytes; at most {LARGEST_INPUT:,} are served")
        return self


class _Robustness(_Strict):
    """One evaluation: fractions in [0, 1]; `robust_accuracy` is the worst case over `attacks`, image by image.

    `flags` name what makes its figures less trustworthy than they look, such as `trained-on`. `data` names other data
    than the run held out itself; None: its own.
    """

    split: Line
    samples: Count
    clean_accuracy: Share
    robust_accuracy: Share
    interval: tuple[Share, Share]
    attacks: list[Line]
    evaluated_at: Line
    flags: list[Line] = []
    data: Line | None = None


class OfflineRobustness(_Robustness):
    """One evaluation under a norm: fractions in [0, 1]; `robust_accuracy` is the worst case over `attacks`, image by
    image. `flags` and `data` say what its figures are of."""

    norm: Line
    eps: float

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        _check_threat(self.norm, self.eps)
        return self


class ChangedRobustness(_Robustness):
    """One evaluation under a threat that no norm describes: as `OfflineRobustness`, `threat` with its ranges.

    `reach`: what the attacker may do, one sentence.
    """

    threat: Line
    reach: Line


class Parity(_Strict):
    """How the ONNX file compares with the PyTorch model on real images."""

    images: Count
    largest_logit_difference: NotNegative
    tolerance: NotNegative
    argmax_agreement: Share


class ServedThreat(_Strict):
    """The norm and eps that a bounded attack on a served image uses: those of the evaluation, else of the recipe.

    The norms are those that the service's own Square knows.
    """

    norm: Literal["linf", "l2"]
    eps: float

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        _check_threat(self.norm, self.eps)
        return self

    @classmethod
    def of(cls, norm: str, eps: float) -> ServedThreat | None:
        """Return the threat, or None in a norm that the service cannot attack in."""
        known = norm in get_args(cls.model_fields["norm"].annotation)
        return cls.model_validate({"norm": norm, "eps": eps}) if known else None


class HeldRequirement(_Strict):
    """What the owner asks of the model, and whether it was met when it was exported: fractions in [0, 1].

    `value` with its 95 % interval, of `samples` images; None where it was not measured. `data` names other data than
    the run held out itself; None: its own.
    """

    about: Line
    asked: Line
    state: Literal["met", "not met", "not measured"]
    value: Share | None = None
    interval: tuple[Share, Share] | None = None
    samples: Count | None = None
    data: Line | None = None


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

    images: Count
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
    calibration_images: Count
    samples: Count
    top1_agreement: Share
    clean_accuracy: Share
    clean_accuracy_float32: Share
    norm: Line
    eps: float
    attacks: list[Line]
    robust_accuracy: Share
    robust_accuracy_float32: Share
    interval: tuple[Share, Share]
    certified_radius: NotNegative | None
    certified_accuracy: Share | None
    certified_accuracy_float32: Share | None
    certified_samples: Count | None = None
    certified_noise_sigma: NotNegative | None = None
    float32_layers: Count = 0

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        _check_threat(self.norm, self.eps)
        return self


def _class_names(names: list[str]) -> list[str]:
    """Refuse names that a reader could not tell apart."""
    if not names:
        raise ValueError("there is no class")
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in seen:
            raise ValueError(f"{name[:80]!r} is the name of class {seen[name]} and of class {place}")
        seen[name] = place
    return names


def _check_threat(norm: str, eps: float) -> None:
    """Raise ValueError, as a validator does, for an eps that the norm does not have."""
    try:
        ThreatModel(norm, eps)
    except HardenerError as error:
        raise ValueError(str(error)) from None
    if eps > _LARGEST_EPS:
        raise ValueError(f"eps must be at most {_LARGEST_EPS:g}; got {eps:g}")


class Bundle(_Strict):
    """`bundle.json`. `fingerprint` is the sha256 of the run's weights; `noise_sigma` the noise of training, or None.

    `evaluation` is the one that counts of `evaluations`, which are those under a norm; `changed` are those under none.
    """

    schema_name: Literal["hardener/bundle/1"] = Field(BUNDLE_SCHEMA, alias="schema")
    name: Name
    created_at: Line
    hardener_version: Line
    recipe: Line
    fingerprint: Line
    model: ModelFile
    input: InputSpec
    classes: Annotated[list[Name], AfterValidator(_class_names)]
    noise_sigma: NoiseSigma | None
    parity: Parity
    evaluation: OfflineRobustness | None
    evaluations: list[OfflineRobustness]
    threat: ServedThreat | None = None
    training_images: TrainingImages | None = None
    quantization: Quantization | None = None
    requirements: list[HeldRequirement] = []
    changed: list[ChangedRobustness] = []


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bundle(folder: Path) -> Bundle:
    """Read `bundle.json` and check that the model file beside it is the one it was written for.

    Raises:
        HardenerError: no bundle, a broken or foreign one, one with a link that leaves it, a card that is no text, or a
            model file whose sha256 differs or whose weights lie elsewhere.
    """
    path = folder / DESCRIPTION_FILE
    if not path.is_file():
        raise HardenerError(f"{folder} has no bundle.json. Make a bundle with `hardener export RUN`.")
    _check_links(folder)
    try:
        bundle = Bundle.model_validate_json(_read(path, LARGEST_DESCRIPTION), strict=True)
    except ValidationError as error:
        raise HardenerError(
            f"{path} is no bundle description that this version reads: {_faults(error)}. Export again with "
            "`hardener export RUN`."
        ) from None
    if Path(bundle.model.file).name != bundle.model.file:
        raise HardenerError(f"{path} names {bundle.model.file!r}, which is no file of its folder. Export again.")
    model = folder / bundle.model.file
    if not model.is_file():
        raise HardenerError(f"{folder} lacks {bundle.model.file}. Export again with `hardener export RUN`.")
    read_card(folder)
    found = sha256_of(model)
    if found != bundle.model.sha256:
        raise HardenerError(
            f"{model} is not the file that bundle.json describes: its sha256 is {found[:16]}…, expected "
            f"{bundle.model.sha256[:16]}…. It was changed, damaged or truncated; export again."
        )
    _check_weights(model)
    return bundle


def bundle_files(folder: Path, bundle: Bundle) -> list[str]:
    """Return the names of the files that a bundle is made of; whatever else lies in its folder is no part of it."""
    card = [CARD_FILE] if (folder / CARD_FILE).is_file() else []
    return [DESCRIPTION_FILE, bundle.model.file, *card]


def holds_bundle(folder: Path) -> bool:
    """Tell whether a folder has a description of a bundle, whole or not."""
    path = folder / DESCRIPTION_FILE
    return path.is_file() and b'"hardener/bundle/' in path.read_bytes()[:_MEBIBYTE]


def read_card(folder: Path) -> str | None:
    """Read the model card beside `bundle.json`; None: there is none.

    Raises:
        HardenerError: it is no text, or too long.
    """
    path = folder / CARD_FILE
    if not path.exists():
        return None
    try:
        return _read(path, LARGEST_CARD).decode("utf-8")
    except UnicodeDecodeError:
        raise HardenerError(f"{path} cannot be read: it is no UTF-8 text. Export again, or remove it.") from None


def _check_weights(model: Path) -> None:
    try:
        elsewhere = keeps_weights_elsewhere(model)
    except NoOnnxFile:
        raise HardenerError(f"{model} cannot be loaded by ONNX Runtime: it is no ONNX file. Export again.") from None
    if elsewhere:
        raise HardenerError(
            f"{model} keeps weights in another file, which bundle.json does not vouch for. Save it as one file, with "
            "its weights inside, or export again."
        )


def _read(path: Path, most: int) -> bytes:
    try:
        if path.is_file():
            with path.open("rb") as file:
                data = file.read(most + 1)
            if len(data) > most:
                raise HardenerError(f"{path} has more than {most:,} bytes, and is not read. Export again.")
            return data
    except OSError as error:
        raise HardenerError(f"{path} cannot be read: {error.strerror}.") from None
    raise HardenerError(f"{path} is no file. Export again.")


def _check_links(folder: Path) -> None:
    """Refuse a link inside the folder that leads out of it, or nowhere; the folder itself may be one."""
    home = Path(os.path.realpath(folder))
    for place, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = Path(place, name)
            if not path.is_symlink():
                continue
            target = Path(os.path.realpath(path))
            if not target.is_relative_to(home):
                raise HardenerError(
                    f"{path} is a link out of the bundle, to {target}. A bundle holds its own files: replace the link "
                    "by a copy."
                )
            if not target.exists():
                raise HardenerError(f"{path} is a link that leads nowhere. Remove it, or export again.")


def _faults(error: ValidationError) -> str:
    """Say what is wrong, the first three things of it."""
    told = []
    for fault in error.errors(include_url=False, include_input=False)[:3]:
        where = ".".join(str(part) for part in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ")
        told.append(f"{where}: {said}" if where else said)
    more = error.error_count() - len(told)
    return one_line("; ".join(told))[:LONGEST_LINE] + (f"; and {more} more" if more else "")
