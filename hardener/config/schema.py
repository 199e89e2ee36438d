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


def _switch(value: Any) -> Any:
    """YAML 1.1 reads a bare on and off as truth values."""
    return ("on" if value else "off") if isinstance(value, bool) else value


Quantity = Annotated[float, _reported(parse_quantity)]
ImageSize = Annotated[tuple[PositiveInt, PositiveInt], _reported(parse_image_size)]
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]
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
    """The worst point of a ball, by `steps` gradient steps from a random start; null `step_size`: the method's own.

    `start`: radius of the random start, as a multiple of eps. `project`: bring each step back into the ball; N-FGSM
    does not.
    """

    steps: PositiveInt = 1
    step_size: Annotated[Quantity, Field(gt=0)] | None = None
    start: NotNegative = 1.0
    project: bool = True


class Vicinity(_Section):
    """What a training pair is replaced by: noise, then mixup, then the worst point nearby, then the label law."""

    noise_sigma: NotNegative = 0.0
    mixup_alpha: NotNegative = 0.0
    adversarial: Adversarial | None = None
    labels: Labels = Labels()


class Trades(_Section):
    """TRADES: `weight` (1/lambda in the paper) of the KL term, whose ball search `vicinity.adversarial` describes."""

    weight: Positive = 6.0


class WeightPerturbation(_Section):
    """Adversarial weight perturbation: the size `gamma` relative to each layer's norm, after `warmup_epochs`."""

    gamma: Positive = 0.005
    warmup_epochs: NotNegative = 0.0


class Beta(_Section):
    """How the learned vector ascends. `lr` null: the network's learning rate, schedule included.

    `learn` false keeps the vector as it starts: Dirichlet label smoothing alike for all classes.
    """

    learn: bool = True
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
    nesterov: bool = True
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: list[Share] = [0.4, 0.7, 0.9]
    warmup_epochs: NotNegative = 0.5
    gradient_clip: Positive | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0


class Averaging(_Section):
    """Averaged weights, which are then what is validated and kept: exponential (`decay` a step), or plain (SWA).

    `start`: the share of the run after which the average begins.
    """

    name: Literal["ema", "swa"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    start: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Network(_Section):
    """What is changed in the user's network. `activation` replaces every ReLU; `freeze` names modules that stay.

    A name in `freeze` may hold `*` and `?`, or be `all-but-head`; what is frozen keeps its parameters and batch
    statistics.
    """

    activation: Literal["keep", "silu", "softplus", "gelu"] = "keep"
    freeze: list[str] = []


class Augment(_Section):
    """On the device, before the vicinity. `shift` is a share of the image size; `flip` is horizontal."""

    shift: Share = 0.125
    flip: bool = False


class Data(_Section):
    """`image_size` (224, or HEIGHTxWIDTH) null: the data's own where all are alike, else 224.

    `normalize`: data, none, imagenet or MEAN/STD. The fractions apply where the data has no such split of its own.
    `cache`: keep decoded images on disk for the next run, where they fit `cache_gb` and leave the disk room.
    """

    image_size: ImageSize | None = None
    channels: Literal["auto", 1, 3] = "auto"
    normalize: str = "data"
    val_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    cache: bool = True
    cache_gb: Positive = 50.0


class Validation(_Ball):
    """The quick attack after each epoch: PGD on `samples` validation images. `select`: what picks the best epoch.

    `rollback`: how often adversarial training that collapses (catastrophic overfitting) is taken back to its best
    epoch and given another gradient step; 0 only reports it.
    """

    steps: PositiveInt = 10
    samples: PositiveInt = 256
    select: Literal["mean", "clean", "robust"] = "mean"
    rollback: Annotated[int, Field(ge=0)] = 3


class Recipe(_Section):
    """One training run.

    `batch_size` is of a step of one process, in `accumulate` pieces. `compile` and `precision`: `auto` takes what the
    device gains from. `parallel`: what several processes do with the weights, each a copy (ddp) or a share (fsdp).
    """

    name: str = "custom"
    method: Literal["vicinity-risk", "trades", "free-at"] = "vicinity-risk"
    epochs: PositiveInt = 30
    batch_size: PositiveInt = 128
    accumulate: PositiveInt = 1
    theta_steps: PositiveInt = 1
    beta_batch: Literal["vicinal", "clean"] = "vicinal"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Switch = "auto"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    vicinity: Vicinity = Vicinity()
    trades: Trades = Trades()
    awp: WeightPerturbation | None = None
    beta: Beta = Beta()
    optimizer: Optimizer = Optimizer()
    averaging: Averaging | None = None
    network: Network = Network()
    augment: Augment = Augment()
    data: Data = Data()
    validation: Validation = Validation()

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Refuse what the parts allow each on its own and not together."""
        if self.method in {"trades", "free-at"} and self.vicinity.adversarial is None:
            raise ValueError(f"method {self.method} needs vicinity.adversarial, such as vicinity.adversarial.eps=8/255")
        if self.method in {"trades", "free-at"}:
            self._check_own_ball()
        if self.method == "free-at" and self.accumulate > 1:
            raise ValueError("method free-at keeps a perturbation a minibatch: it takes no accumulate above 1")
        if self.method == "free-at" and self.awp is not None:
            raise ValueError("method free-at takes no awp: its one backward pass is for the weights as they are")
        if self.awp is not None and self.parallel == "fsdp":
            raise ValueError("awp moves whole weights: it does not go with parallel=fsdp")
        if self.averaging is not None and self.parallel == "fsdp":
            raise ValueError("averaging keeps whole weights: it does not go with parallel=fsdp")
        return self

    def _check_own_ball(self) -> None:
        """Refuse what a method with a loss of its own would pass over in silence."""
        vicinity, adversarial = self.vicinity, self.vicinity.adversarial
        if vicinity.noise_sigma or vicinity.mixup_alpha or vicinity.labels.law != "one-hot":
            raise ValueError(
                f"method {self.method} takes images and labels as they are: no noise_sigma, mixup_alpha or labels.law"
            )
        if adversarial is not None and (adversarial.start != 1 or not adversarial.project):
            raise ValueError(f"method {self.method} has its own start and stays in the ball: no start or project")
        if adversarial is not None and self.method == "free-at" and adversarial.steps > 1:
            raise ValueError("method free-at replays minibatches instead of taking steps: set theta_steps")
