"""What the service answers: written by the service, read by the client. Imports no torch.

Each figure carries a `meaning`: what it shows and what it does not.
"""

from __future__ import annotations

import base64
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hardener.config.bundle import ChangedRobustness, HeldRequirement, InputSpec, OfflineRobustness, Spread


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Identity(_Answer):
    name: str
    fingerprint: str = Field(description="sha256 of the weights that were trained, float32 and int8 alike")
    file_sha256: str | None = Field(None, description="sha256 of model.onnx, the file that answers; null: not known")
    quantization: Literal["int8"] | None = Field(None, description="null: float32")


class ModelName(_Identity):
    """Which model answered."""


class WorstVariant(_Answer):
    """The variant that leaves the predicted class the lowest probability."""

    parameter: float | None = Field(description="in the probe's unit; null where the change has no strength")
    label: str = Field(description="the answer to this variant")
    confidence: float = Field(description="the probability left to the class predicted for the image as sent")


class Stability(_Answer):
    """How the answer holds under one kind of change to the model's input."""

    unit: str | None = Field(description="of `tried` and of the worst variant's parameter")
    tried: list[float]
    variants: int = Field(description="images that were asked about")
    same_answer: float | None = Field(
        description="share of them with the same answer; null: not applicable, or the time ran out; `meaning` says"
    )
    worst: WorstVariant | None
    meaning: str


class StabilityReport(_Answer):
    """The kinds of everyday change."""

    noise: Stability
    rotation: Stability
    brightness: Stability
    contrast: Stability
    gray: Stability
    blur: Stability
    jpeg: Stability


class Certificate(_Answer):
    """A radius within which the smoothed classifier's answer cannot change, or `radius` null: it abstains."""

    radius: float | None = Field(
        ge=0, allow_inf_nan=False, description="l2 over all pixels and channels of the model's input, in [0, 1] pixels"
    )
    abstained: bool
    label: str | None = Field(
        description="the smoothed classifier's class, chosen from the selection draws; null: there was no time for one"
    )
    index: int | None
    agrees_with_prediction: bool | None = Field(description="whether `label` is the plain answer's")
    noise_sigma: float = Field(description="std of the noise, in [0, 1] pixels")
    trained_with_this_noise: bool
    selection_draws: int = Field(description="noisy copies that chose `label`")
    draws: int = Field(description="further noisy copies, as many as it took, which bound the chance")
    agreeing_draws: int = Field(description="of `draws`: those that gave `label`")
    lower_bound: float = Field(description="of the chance that a draw gives `label`, at `confidence`")
    confidence: float = Field(description="1 - alpha")
    largest_possible_radius: float = Field(description="what this many draws certify when all agree")
    meaning: str

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.abstained != (self.radius is None):
            raise ValueError("a certificate either abstains or has a radius")
        return self


class AttackProbe(_Answer):
    """A bounded attack on this image that asks the model for scores alone (Square)."""

    name: Literal["square"] = "square"
    norm: Literal["linf", "l2"] | None = Field(description="null, as `eps` and `found`: not run; `meaning` says why")
    eps: float | None = Field(description="radius, a fraction of the pixel range; l2 over all pixels and channels")
    queries: int = Field(description="model runs that were made, each on one image")
    queries_allowed: int
    found: bool | None = Field(description="whether an adversarial image was found")
    label: str | None = Field(description="what the adversarial image was taken for; null: none was found")
    lowest_margin: float = Field(
        description="least difference seen between the predicted class's logit and the best other; of the image "
        "as sent, where no query was made"
    )
    image: str | None = Field(
        default=None,
        description="the adversarial image, of the model's input size: an 8-bit PNG in base64, and the model was asked "
        "about that file; null: none was found, `found_image` was not asked for, or `meaning` says why",
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"},
    )
    statement: str = Field(description='e.g. "no adversarial image found in 200 queries"')
    meaning: str

    def image_file(self) -> bytes | None:
        """Return the PNG file of the adversarial image, or None where there is none."""
        return None if self.image is None else base64.b64decode(self.image)


class Margin(_Answer):
    """How far the answer is ahead of the next one."""

    runner_up: str
    logits: float = Field(description="the predicted class's logit minus the runner-up's")
    probability: float = Field(description="the same of the probabilities")
    meaning: str


class InputStatistic(_Answer):
    """One simple statistic of the image beside the training images'."""

    value: float
    unit: str
    training: Spread | None = Field(description="quantiles over training images; null: the bundle has none")
    unusual: bool | None = Field(description="outside the training images' 1 % to 99 % range; null: not known")


class InputCheck(_Answer):
    """How far the image lies from the training data, in simple statistics."""

    width: InputStatistic
    height: InputStatistic
    brightness: InputStatistic
    contrast: InputStatistic
    noise: InputStatistic
    meaning: str


class ReportBudget(_Answer):
    """What the report was allowed to spend, and what it spent."""

    allowed_s: float
    draws_allowed: int
    queries_allowed: int
    spent_s: float
    model_runs: int = Field(description="images that the model was asked about")
    cut_short: bool = Field(description="the time ran out before everything was done; the parts say what they used")


class OfflineFigures(_Answer):
    """How the model did on a test set under attack, measured before it was exported."""

    evaluation: OfflineRobustness | None = Field(description="under a norm; null: it was evaluated under none")
    changed: list[ChangedRobustness] = Field([], description="under threats that no norm describes")
    meaning: str


class Report(_Answer):
    """What can be said about the robustness of this one answer."""

    stability: StabilityReport
    certificate: Certificate
    offline: OfflineFigures
    attack: AttackProbe
    margin: Margin
    input: InputCheck
    budget: ReportBudget


class Prediction(_Answer):
    """The answer to one image."""

    label: str
    index: int
    confidence: float = Field(description="the model's probability for `label`; not a measure of robustness")
    probabilities: dict[str, float] = Field(description="most likely first; with top_k only that many")
    model: ModelName
    report: Report | None


class BatchItem(_Answer):
    """The answer to one image of several: a prediction, or the problem with this image alone."""

    prediction: Prediction | None
    problem: ProblemDocument | None


class BatchAnswer(_Answer):
    """The answers to several images, in the order in which they were sent."""

    items: list[BatchItem]


class ModelList(_Answer):
    """What is served side by side."""

    default: str
    models: list[ModelInfo]


class ModelInfo(_Identity):
    """The bundle that is served."""

    recipe: str
    created_at: str
    hardener_version: str
    input: InputSpec
    classes: list[str]
    noise_sigma: float | None = Field(description="of the training; null: none")
    evaluation: OfflineRobustness | None = Field(description="under a norm; null: it was evaluated under none")
    changed: list[ChangedRobustness] = Field([], description="its evaluations under threats that no norm describes")
    requirements: list[HeldRequirement] = Field([], description="what its owner asks of it, and whether it was met")
    provider: str = Field(description="what ONNX Runtime runs the model on")


class ProblemDocument(BaseModel):
    """An error, RFC 9457."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
