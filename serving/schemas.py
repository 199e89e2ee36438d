"""What the service answers. Each figure carries a `meaning`: what it shows and what it does not."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hardener.config.bundle import InputSpec, OfflineRobustness


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ModelName(_Answer):
    """Which model answered; `fingerprint` is the sha256 of its weights."""

    name: str
    fingerprint: str


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
    same_answer: float | None = Field(description="share of them with the same answer; null: not applicable")
    worst: WorstVariant | None
    meaning: str


class StabilityReport(_Answer):
    """The five kinds of change."""

    noise: Stability
    rotation: Stability
    brightness: Stability
    contrast: Stability
    gray: Stability


class Certificate(_Answer):
    """A radius within which the smoothed classifier's answer cannot change, or `radius` null: it abstains."""

    radius: float | None = Field(description="l2 over all pixels and channels of the model's input, in [0, 1] pixels")
    abstained: bool
    label: str = Field(description="the smoothed classifier's class, chosen from the selection draws")
    index: int
    agrees_with_prediction: bool
    noise_sigma: float = Field(description="std of the noise, in [0, 1] pixels")
    trained_with_this_noise: bool
    selection_draws: int
    draws: int
    agreeing_draws: int
    lower_bound: float = Field(description="of the chance that a draw gives `label`, at `confidence`")
    confidence: float = Field(description="1 - alpha")
    largest_possible_radius: float = Field(description="what this many draws certify when all agree")
    meaning: str


class OfflineFigures(_Answer):
    """How the model did on a test set under attack, measured before it was exported."""

    evaluation: OfflineRobustness | None
    meaning: str


class Report(_Answer):
    """What can be said about the robustness of this one answer."""

    stability: StabilityReport
    certificate: Certificate
    offline: OfflineFigures


class Prediction(_Answer):
    """The answer to one image."""

    label: str
    index: int
    confidence: float = Field(description="the model's probability for `label`; not a measure of robustness")
    probabilities: dict[str, float]
    model: ModelName
    report: Report | None


class ModelInfo(_Answer):
    """The bundle that is served."""

    name: str
    fingerprint: str
    recipe: str
    created_at: str
    hardener_version: str
    input: InputSpec
    classes: list[str]
    noise_sigma: float | None = Field(description="of the training; null: none")
    evaluation: OfflineRobustness | None
    provider: str = Field(description="what ONNX Runtime runs the model on")


class ProblemDocument(BaseModel):
    """An error, RFC 9457."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
