"""The recipe: every choice of a training run, with its default and its range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from hardener.config.quantity import parse_image_size, parse_quantity
from hardener.errors import HardenerError
from hardener.threat import ThreatModel


def _reported(parse: Callable[[Any], Any]) -> BeforeValidator:
    """Let pydantic collect what a parser of ours complains of, beside its own faults."""

    def parse_or_report(value: Any) -> Any:
        try:
            return parse(value)
        except HardenerError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(parse_or_report)


Quantity = Annotated[float, _reported(parse_quantity)]
ImageSize = Annotated[tuple[PositiveInt, PositiveInt], _reported(parse_image_size)]
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Law = Literal["one-hot", "uniform", "budget", "paper", "paper-printed", "reference"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


class Labels(_Section):
    """The label law. `smoothing` is for uniform and budget, `alpha` for the paper's laws, `scale` for reference."""

    law: Law = "one-hot"
    draw: Literal["sampled", "expected"] = "expected"
    smoothing: Share = 0.2
    total_concentration: Positive = 10.0
    alpha: Share = 0.01
    scale: Positive = 10.0


class _Ball(_Section):
    """A norm and an eps that fit each other."""

    norm: str = "linf"
    eps: Quantity = 8 / 255

    @property
    def threat(self) -> ThreatModel:
        """Norm and eps as one value."""
        return ThreatModel(self.norm, self.eps)

    @model_validator(mode="after")
    def _check_threat(self) -> Self:
        try:
            _ = self.threat
        except HardenerError as error:
            raise ValueError(str(error)) from None
        return self


class Adversarial(_Ball):
    """The worst point of a ball, by `steps` gradient steps from a random start; null `step_size`: the method's own."""

    steps: PositiveInt = 1
    step_size: Annotated[Quantity, Field(gt=0)] | None = None


class Vicinity(_Section):
    """What a training pair is replaced by: noise, then mixup, then the worst point nearby, then the label law."""

    noise_sigma: NotNegative = 0.0
    mixup_alpha: NotNegative = 0.0
    adversarial: Adversarial | None = None
    labels: Labels = Labels()


class Beta(_Section):
    """How the learned vector ascends. `lr` null: the network's learning rate, schedule included."""

    lr: Positive | None = None
    momentum: Share = 0.0
    weight_decay: NotNegative = 5e-4
    max: Positive = 10.0


class Optimizer(_Section):
    """The network's optimiser. `lr` is the peak; `schedule` starts after `warmup_epochs` of linear warm-up."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.05
    momentum: Share = 0.9
    weight_decay: NotNegative = 5e-4
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: list[Share] = [0.4, 0.7, 0.9]
    warmup_epochs: NotNegative = 0.5
    gradient_clip: Positive | None = None


class Augment(_Section):
    """On the device, before the vicinity. `shift` is a share of the image size; `flip` is horizontal."""

    shift: Share = 0.125
    flip: bool = False


class Data(_Section):
    """`image_size` (224, or HEIGHTxWIDTH) null: the data's own where all are alike, else 224.

    `normalize`: data, none, imagenet or MEAN/STD. The fractions apply where the data has no such split of its own.
    """

    image_size: ImageSize | None = None
    channels: Literal["auto", 1, 3] = "auto"
    normalize: str = "data"
    val_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1


class Validation(_Ball):
    """The quick attack after each epoch: PGD on `samples` validation images. `select`: what picks the best epoch."""

    steps: PositiveInt = 10
    samples: PositiveInt = 256
    select: Literal["mean", "clean", "robust"] = "mean"


class Recipe(_Section):
    """One training run."""

    name: str = "custom"
    method: Literal["vicinity-risk"] = "vicinity-risk"
    epochs: PositiveInt = 30
    batch_size: PositiveInt = 128
    theta_steps: PositiveInt = 1
    beta_batch: Literal["vicinal", "clean"] = "vicinal"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    vicinity: Vicinity = Vicinity()
    beta: Beta = Beta()
    optimizer: Optimizer = Optimizer()
    augment: Augment = Augment()
    data: Data = Data()
    validation: Validation = Validation()
