"""A recipe's words -> the method and the optimisers that they mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hardener.catalog import resolve
from hardener.config.schema import Averaging, Recipe
from hardener.methods import METHODS
from hardener.methods.method import Method
from hardener.training.groups import parameter_groups

Tensors = tuple[Tensor, ...] | list[Tensor]


def build_method(recipe: Recipe, num_classes: int) -> Method:
    """Return the method of training that a recipe describes, on the CPU."""
    method: Method = resolve(METHODS, recipe.method, "method").build(recipe, num_classes)
    return method


def build_optimizers(
    recipe: Recipe, network: nn.Module, method: Method, *, sharded: bool = False
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer | None]:
    """Return theta, which descends for the network, and beta, which ascends for the method's vector if it has one.

    Args:
        sharded: the network's parameters are DTensors, which torch's fused SGD does not take.
    """
    settings = recipe.optimizer
    groups = parameter_groups(
        network, lr=settings.lr, weight_decay=settings.weight_decay, layer_decay=settings.layer_decay
    )
    theta: torch.optim.Optimizer
    if settings.name == "sgd":
        theta = torch.optim.SGD(
            groups,
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov and settings.momentum > 0,
            fused=not sharded,
        )
    else:
        theta = torch.optim.AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    if method.beta is None:
        return theta, None
    return theta, torch.optim.SGD(
        [method.beta],
        lr=recipe.beta.lr or settings.lr,
        momentum=recipe.beta.momentum,
        weight_decay=recipe.beta.weight_decay,
        maximize=True,
    )


def build_average(asked: Averaging | None, classifier: nn.Module) -> AveragedModel | None:
    """Return a copy of the classifier that averages its weights and batch statistics, or None.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, for SWA.
    """
    if asked is None:
        return None
    decay = asked.decay if asked.name == "ema" else None

    @torch.no_grad()
    def move(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # counters
            torch._foreach_copy_(averaged, current)
            return
        weight = 1 - decay if decay is not None else 1 / (int(count) + 1)
        torch._foreach_lerp_(averaged, current, weight)

    average = AveragedModel(classifier, multi_avg_fn=move, use_buffers=True)
    average.requires_grad_(False)
    return average
