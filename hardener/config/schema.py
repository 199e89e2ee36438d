"""The recipe: every choice of a training run, with its default and its range."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from hardener.config.brought import methods, trackers, vicinities
from hardener.config.pixels import WHITE, Fit
from hardener.config.quantity import LARGEST_NOISE_SIGMA
from hardener.config.section import (
    Ball,
    Color,
    ImageSize,
    NotNegative,
    Positive,
    Range,
    Section,
    Share,
    Switch,
    key_of,
)
from hardener.errors import did_you_mean

Law = Literal["one-hot", "uniform", "budget", "paper", "paper-printed", "reference"]


def _known_method(name: str) -> str:
    if name not in methods():
        raise ValueError(f"unknown method {name!r}. Known: {', '.join(methods())}.{did_you_mean(name, methods())}")
    return name


OPTIMIZERS: dict[str, float] = {
    "sgd": 0.05,
    "adamw": 0.001,
    "adam": 0.001,
    "nadam": 0.002,
    "radam": 0.001,
    "adamax": 0.002,
    "adafactor": 0.01,
    "adagrad": 0.01,
    "adadelta": 1.0,
    "rmsprop": 0.01,
    "asgd": 0.01,
}
"""Of torch.optim, those that take a step of any tensor from one gradient, with the learning rate that each has where
none is named: torch's own, but for SGD, whose is that of the recipes."""


def _known_optimizer(name: str) -> str:
    if name not in OPTIMIZERS:
        hint = did_you_mean(name, OPTIMIZERS)
        raise ValueError(f"unknown optimiser {name!r}. Known: {', '.join(OPTIMIZERS)}.{hint}")
    return name


def _known_tracker(name: str | None) -> str | None:
    if name is not None and name not in trackers():
        raise ValueError(f"unknown tracker {name!r}. Known: {', '.join(trackers())}.{did_you_mean(name, trackers())}")
    return name


class Labels(Section):
    """The label law. `smoothing` is for uniform and budget, `alpha` for the paper's laws, `scale` for reference."""

    law: Law = "one-hot"
    draw: Literal["sampled", "expected"] = "expected"
    smoothing: Share = 0.2
    total_concentration: Positive = 10.0
    alpha: Share = 0.01
    scale: Positive = 10.0


class Vicinity(Section):
    """What a training pair is replaced by: a draw of each vicinity that is on, in the order of their catalog.

    These three keys stand here because other rooms read them: the certificate the noise, the ablation and the model
    card all of them. Every other vicinity brings a section of its own, which is null where it is off.
    """

    noise_sigma: Annotated[float, Field(ge=0, le=LARGEST_NOISE_SIGMA)] = 0.0
    mixup_alpha: NotNegative = 0.0
    labels: Labels = Labels()

    def on(self) -> dict[str, Any]:
        """Return key -> settings of each vicinity that changes something."""
        found = {key: value for key, value in self if value}  # neither 0 nor null
        if self.labels.law == "one-hot":
            del found["labels"]
        return found


class WeightPerturbation(Section):
    """Adversarial weight perturbation: the size `gamma` relative to each layer's norm, after `warmup_epochs`."""

    gamma: Positive = 0.005
    warmup_epochs: NotNegative = 0.0


class Beta(Section):
    """How the learned vector ascends, by SGD. `lr` null: the network's learning rate, schedule included; 0.05 by the
    same schedule where the network's optimiser is another.

    `learn` false keeps the vector as it starts: Dirichlet label smoothing alike for all classes.
    """

    learn: bool = True
    lr: Positive | None = None
    momentum: Share = 0.0
    weight_decay: NotNegative = 5e-4
    max: Positive = 10.0


class Optimizer(Section):
    """The network's optimiser. `lr` is the peak; `schedule` starts after `warmup_epochs` of linear warm-up.

    `name`: of torch.optim, in small letters. Where another than sgd is named and no `lr` with it, that is torch's own.
    `momentum` and `nesterov` go to those that have them, `options` to any.
    """

    name: Annotated[str, AfterValidator(_known_optimizer)] = "sgd"
    options: dict[str, Any] = Field(default={})
    lr: Positive = OPTIMIZERS["sgd"]
    momentum: Share = 0.9
    weight_decay: NotNegative = 5e-4
    nesterov: bool = True
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: list[Share] = Field(default=[0.4, 0.7, 0.9])
    warmup_epochs: NotNegative = 0.5
    gradient_clip: Positive | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0


class Averaging(Section):
    """Averaged weights, which are then what is validated and kept: exponential (`decay` a step), or plain (SWA).

    `start`: the share of the run from which on weights are taken; null: 0 for ema, 0.75 for swa, whose mean holds what
    came first for good. swa takes the ends of epochs, from the one that ends at `start` on. `decay` is
    what it comes to: n steps after its start the average keeps (1 + n) / (10 + n) at most.
    """

    name: Literal["ema", "swa"] = "ema"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    start: Annotated[float, Field(ge=0, lt=1)] | None = None

    @property
    def begins(self) -> float:
        """The share of the run from which on weights are taken; an end of an epoch there counts."""
        return {"ema": 0.0, "swa": 0.75}[self.name] if self.start is None else self.start


class Network(Section):
    """What is changed in the user's network. `activation` replaces every ReLU; `freeze` names modules that stay.

    A name in `freeze` may hold `*` and `?`, or be `all-but-head`; what is frozen keeps its parameters and batch
    statistics. In the first `head_first` epochs all but the final layer is frozen, and it learns from then on.
    `checkpoint`: blocks keep no activations for the backward pass and compute them again: less memory, more time.
    """

    activation: Literal["keep", "silu", "softplus", "gelu"] = "keep"
    freeze: list[str] = Field(default=[])
    head_first: Annotated[int, Field(ge=0)] = 0
    checkpoint: bool = False


class Augment(Section):
    """On the device, before the vicinity: each augmentation that is on, in the order of their catalog.

    `shift` is a share of the image size; `flip` is horizontal, and `auto` mirrors photographs, not digits or letters.
    `policy`: light, standard or strong sets what the recipe leaves open, by size and number of the images. Every other
    augmentation brings a section of its own, which is null where it is off; `true` takes its defaults.
    """

    shift: Share = 0.125
    flip: bool | Literal["auto"] = "auto"
    policy: Literal["light", "standard", "strong"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, fields: Any) -> Any:
        """Read true and false for a section as its defaults and null."""
        if not isinstance(fields, dict):
            return fields
        switches: dict[bool, Any] = {True: {}, False: None}
        own = Augment.model_fields
        return {k: switches[v] if isinstance(v, bool) and k not in own else v for k, v in fields.items()}

    def on(self) -> dict[str, Any]:
        """Return key -> settings of each augmentation that changes something."""
        assert self.flip != "auto", "what it means is settled before anything is augmented"
        assert self.policy is None, "so is a policy"
        return {key: value for key, value in self if value}


class Data(Section):
    """`image_size` (224, or HEIGHTxWIDTH) null: the data's own where nearly all are alike, else 224.

    `fit`: images of another shape are cut (crop), get bars (letterbox), or are stretched. `background` (white, or
    R,G,B) lies under transparent pixels and fills the bars. `range` (LO,HI) of pixels with more than 8 bits becomes 0
    to 255; null: measured on the training images.
    `normalize`: data, none, imagenet or MEAN/STD. The fractions apply where the data has no such split of its own.
    `group_by`: images that belong together, such as a patient's, are drawn into one split: by a column of a table, or
    by what names of files tell ("{group}_{*}"); null: they are drawn one by one.
    `balance`: classes of few images are seen as often as the others (sampler), or count as much in the loss (weights).
    The best epoch is then chosen by balanced accuracies, where classes differ by more than 3 times.
    `cache`: keep decoded images on disk for the next run, where they fit `cache_gb` and leave the disk room.
    """

    image_size: ImageSize | None = None
    fit: Fit = "crop"
    background: Color = WHITE
    range: Range | None = None
    channels: Literal["auto", 1, 3] = "auto"
    normalize: str = "data"
    balance: Literal["none", "sampler", "weights"] = "none"
    val_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    group_by: str | None = None
    cache: bool = True
    cache_gb: Positive = 50.0


class Resize(Section):
    """Training begins on images of the share `first` of their sides, which cost less, and grows them epoch by epoch.

    From the share `full` of the run on they have their own size, at which the run is validated throughout.
    """

    first: Annotated[float, Field(gt=0, lt=1)] = 0.5
    full: Annotated[float, Field(gt=0, le=1)] = 0.5


class Validation(Ball):
    """The quick attack after each epoch: PGD on `samples` validation images. `select`: what picks the best epoch.

    `rollback`: how often adversarial training that collapses (catastrophic overfitting) is taken back to its best
    epoch and given another gradient step; 0 only reports it. `patience`: training ends after so many epochs without a
    better one; null: never before the last.
    """

    steps: PositiveInt = 10
    samples: PositiveInt = 256
    select: Literal["mean", "clean", "robust"] = "mean"
    rollback: Annotated[int, Field(ge=0)] = 3
    patience: PositiveInt | None = None


class Recipe(Section):
    """One training run, but for the sections that methods and vicinities bring; see `recipe.check_recipe`.

    `batch_size` is of a step of one process, in `accumulate` pieces. `compile` and `precision`: `auto` takes what the
    device gains from. `cuda_graphs`: on a GPU, start all kernels of a compiled network's pass at once. `parallel`: what
    several processes do with the weights, each a copy (ddp) or a share (fsdp).
    `track`: mlflow, wandb or trackio is told settings, each epoch, and what the run came to; null: none is.
    `fine_tuning` holds fields of the recipe that take their value from there where the network starts from trained
    weights; `large_images` those where the shorter side has 64 pixels or more. `--set` of such a field beats both.
    """

    name: str = "custom"
    method: Annotated[str, AfterValidator(_known_method)] = Field(default_factory=lambda: next(iter(methods())))
    epochs: PositiveInt = 30
    batch_size: PositiveInt = 128
    accumulate: PositiveInt = 1
    theta_steps: PositiveInt = 1
    beta_batch: Literal["vicinal", "clean"] = "vicinal"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Switch = "auto"
    cuda_graphs: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    track: Annotated[str | None, AfterValidator(_known_tracker)] = None
    vicinity: Vicinity = Vicinity()
    awp: WeightPerturbation | None = None
    beta: Beta = Beta()
    optimizer: Optimizer = Optimizer()
    averaging: Averaging | None = None
    network: Network = Network()
    augment: Augment = Augment()
    data: Data = Data()
    resize: Resize | None = None
    validation: Validation = Validation()
    fine_tuning: dict[str, Any] = Field(default={"batch_size": 64, "optimizer": {"lr": 0.03}})
    large_images: dict[str, Any] = Field(default={})

    @property
    def beta_peak(self) -> float:
        """The highest learning rate of the learned vector, where `beta.lr` names none."""
        return self.optimizer.lr if self.optimizer.name == "sgd" else OPTIMIZERS["sgd"]

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Refuse what the parts allow each on its own and not together."""
        on = self.vicinity.on()
        used = [methods()[self.method], *(entry for name, entry in vicinities().items() if key_of(name, entry) in on)]
        faults = [fault for entry in used for fault in entry.faults_of(self)]
        if self.awp is not None and self.parallel == "fsdp":
            faults.append("awp moves whole weights: it does not go with parallel=fsdp")
        if self.network.checkpoint and self.compile == "on":
            faults.append("network.checkpoint was not tried with compile=on: set one of the two")
        if self.cuda_graphs and (self.network.checkpoint or self.compile == "off"):
            other = "network.checkpoint" if self.network.checkpoint else "compile=off"
            faults.append(f"cuda_graphs are of a compiled network: they do not go with {other}. Set one of the two")
        if self.network.head_first and self.parallel == "fsdp":
            faults.append("network.head_first lets go of weights on the way: it does not go with parallel=fsdp")
        if self.network.head_first >= self.epochs:
            faults.append(
                f"network.head_first={self.network.head_first} of {self.epochs} epochs leaves none for the rest. Lower "
                "it, or pass --freeze all-but-head"
            )
        if self.averaging is not None and self.parallel == "fsdp":
            faults.append("averaging keeps whole weights: it does not go with parallel=fsdp")
        if self.validation.patience is not None and any(
            getattr(each, "schedule", "constant") != "constant" for each in on.values()
        ):
            faults.append(
                "validation.patience ends a run while its eps still rises: leave it out with a schedule of eps"
            )
        if faults:
            raise ValueError(". ".join(faults))
        return self
