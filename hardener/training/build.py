"""A recipe's words -> the method, the optimisers and the steps that they mean."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hardener.catalog import resolve
from hardener.config.schema import Optimizer, Recipe
from hardener.data.cache import total_memory
from hardener.data.loader import LoadedImages
from hardener.errors import HardenerError
from hardener.methods import METHODS
from hardener.methods.method import Method
from hardener.models.freeze import HeldBody, freeze
from hardener.models.normalize import ImageClassifier
from hardener.runtime.device import has_bfloat16
from hardener.runtime.processes import processes_here
from hardener.training.balance import class_weights
from hardener.training.groups import parameter_groups
from hardener.training.loop import StepRule
from hardener.training.state import Progress, TrainingState
from hardener.vicinity.worst_point import Settings as Ball


def build_method(recipe: Recipe, num_classes: int) -> Method:
    """Return the method of training that a recipe describes, on the CPU."""
    method: Method = resolve(METHODS, recipe.method, "method").build(recipe, num_classes)
    return method


def method_for(recipe: Recipe, images: LoadedImages, num_classes: int, device: torch.device) -> Method:
    """Return the recipe's method on the device, told what it has to know of the images that it trains on."""
    method = build_method(recipe, num_classes)
    if recipe.data.balance == "weights":
        method.weigh(class_weights(images.labels, num_classes))
    method.remember(len(images), images.shape.planes)
    return method.to(device)


def build_optimizers(
    recipe: Recipe, network: nn.Module, method: Method, *, sharded: bool = False, body: HeldBody | None = None
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer | None]:
    """Return theta, which descends for the network, and beta, which ascends for the method's vector if it has one.

    Args:
        sharded: the network's parameters are DTensors, which torch's fused SGD does not take.
        body: what begins to learn later.
    """
    settings = recipe.optimizer
    groups = parameter_groups(
        network,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
        apart=() if body is None else body.parameters,
    )
    theta = _optimizer(settings, groups, sharded=sharded)
    if method.beta is None:
        return theta, None
    return theta, torch.optim.SGD(
        [method.beta],
        lr=recipe.beta.lr or recipe.beta_peak,
        momentum=recipe.beta.momentum,
        weight_decay=recipe.beta.weight_decay,
        maximize=True,
    )


def optimizer_class(settings: Optimizer) -> Callable[..., torch.optim.Optimizer]:
    """Return torch's class of optimiser of a recipe's name."""
    found: Callable[..., torch.optim.Optimizer] = next(
        kind for name, kind in vars(torch.optim).items() if name.lower() == settings.name
    )
    return found


def _optimizer(
    settings: Optimizer, parameters: Sequence[dict[str, Any]] | Sequence[nn.Parameter], *, sharded: bool = False
) -> torch.optim.Optimizer:
    """Return torch's optimiser of this name, with those of the settings that it has."""
    kind = optimizer_class(settings)
    fused = {"sgd": not sharded, "adamw": True}  # of the others torch chooses
    offered = {
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "momentum": settings.momentum,
        "nesterov": settings.nesterov and settings.momentum > 0,
        "fused": fused.get(settings.name),
    }
    takes = inspect.signature(kind).parameters
    given = {name: value for name, value in offered.items() if name in takes} | settings.options
    made: torch.optim.Optimizer = kind(parameters, **given)
    if given.get("fused") and isinstance(made, torch.optim.SGD):
        made.register_step_pre_hook(_let_late_ones_join)
    return made


def _let_late_ones_join(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Begin the momentum, at zero, of parameters that a gradient reaches for the first time: of blocks that a network
    leaves out at random, say. torch's fused SGD takes none without beside others with it."""
    for group in optimizer.param_groups:
        reached = [p for p in group["params"] if p.grad is not None] if group["momentum"] else []
        late = [p for p in reached if optimizer.state.get(p, {}).get("momentum_buffer") is None]
        for parameter in late if len(late) < len(reached) else ():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def check_optimizer(settings: Optimizer) -> None:
    """See that torch takes what the recipe gives its optimiser.

    Raises:
        HardenerError: an option that it does not have, or a value that it refuses.
    """
    try:
        _optimizer(settings, [nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError, RuntimeError) as error:
        told = str(error).removeprefix(f"{type(error).__name__}: ").rpartition("__init__() ")[2]
        raise HardenerError(f"torch's {settings.name} refuses optimizer.options {settings.options}: {told}.") from None


def check_prior(recipe: Recipe, images: LoadedImages) -> None:
    """See that what the recipe keeps of each training image, if anything, fits where it lies.

    Raises:
        HardenerError: there is too little memory for all processes of this machine, which keep it each.
    """
    ball = recipe.vicinity.find(Ball)
    if ball is None or ball.origin != "prior":
        return
    kept = "vicinity.adversarial.origin=prior keeps each image's perturbation"
    otherwise = "--set vicinity.adversarial.origin=noise keeps none"
    each, room, here = len(images) * math.prod(images.shape.planes), total_memory() // 4, processes_here()
    if here * each > room:
        several = f" for each of {here} processes" if here > 1 else ""
        raise HardenerError(
            f"{kept}, {each / 1e9:.1f} GB of {len(images):,} images{several}; a quarter of this machine's memory is "
            f"{room / 1e9:.1f} GB. Lower --image-size. {otherwise}."
        )


def first_state(
    recipe: Recipe,
    network: nn.Module,
    method: Method,
    device: torch.device,
    *,
    average: AveragedModel | None = None,
    sharded: bool = False,
    body: HeldBody | None = None,
) -> TrainingState:
    """Return the moving parts of a run before its first step; `sharded` and `body` as `build_optimizers` takes them."""
    theta, beta = build_optimizers(recipe, network, method, sharded=sharded, body=body)
    return TrainingState(
        network=network,
        method=method,
        theta=theta,
        beta=beta,
        average=average,
        progress=Progress.start_of(0, device),
        piece=math.ceil(recipe.batch_size / recipe.accumulate),
    )


def freeze_as_asked(classifier: ImageClassifier, recipe: Recipe) -> None:
    """Freeze what the recipe names in a run's network, whose head is known."""
    freeze(
        classifier.network,
        recipe.network.freeze,
        num_classes=len(classifier.classes),
        head=next(iter(classifier.heads), None),
    )


def held_body(classifier: ImageClassifier, recipe: Recipe) -> HeldBody | None:
    """Return what learns only after the recipe's first epochs; None: all learns from the start."""
    if not recipe.network.head_first:
        return None
    head = next(iter(classifier.heads), None)
    return HeldBody(classifier.network, num_classes=len(classifier.classes), head=head)


def step_rule(recipe: Recipe, device: torch.device) -> StepRule:
    """Return how the recipe's minibatches become steps on this device."""
    return StepRule(
        theta_steps=recipe.theta_steps,
        beta_on_clean=recipe.beta_batch == "clean",
        gradient_clip=recipe.optimizer.gradient_clip,
        autocast=autocasts(recipe, device),
    )


def autocasts(recipe: Recipe, device: torch.device) -> bool:
    """Tell whether training computes in bfloat16 where that is safe; `auto` does on a GPU that can natively."""
    if recipe.precision == "auto":
        return device.type == "cuda" and has_bfloat16(device)
    return recipe.precision == "bfloat16"
