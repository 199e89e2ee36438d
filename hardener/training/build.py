"""A recipe's words -> the method and the optimisers that they mean."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from hardener.config.schema import Averaging, Recipe
from hardener.methods._method import Method
from hardener.methods.vicinity_risk import VicinityRisk, WorstPoint


def build_method(recipe: Recipe, num_classes: int) -> Method:
    """Return the method of training that a recipe describes, on the CPU."""
    labels, vicinity = recipe.vicinity.labels, recipe.vicinity
    asked = vicinity.adversarial
    return VicinityRisk(
        num_classes=num_classes,
        noise_sigma=vicinity.noise_sigma,
        mixup_alpha=vicinity.mixup_alpha,
        law=labels.law,
        sampled=labels.draw == "sampled",
        smoothing=labels.smoothing,
        total_concentration=labels.total_concentration,
        alpha=labels.alpha,
        scale=labels.scale,
        beta_max=recipe.beta.max,
        worst_point=None if asked is None else WorstPoint(asked.norm, asked.eps, asked.steps, asked.step_size),
    )


def build_optimizers(
    recipe: Recipe, network: nn.Module, method: Method, *, sharded: bool = False
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer | None]:
    """Return theta, which descends for the network, and beta, which ascends for the method's vector if it has one.

    Args:
        sharded: the network's parameters are DTensors, which torch's fused SGD does not take.
    """
    settings = recipe.optimizer
    groups = _groups(network.parameters())
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


def build_average(asked: Averaging | None, classifier: nn.Module) -> torch.optim.swa_utils.AveragedModel | None:
    """Return a copy of the classifier that averages its weights and batch statistics, or None.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, for SWA.
    """
    if asked is None:
        return None
    from torch.optim import swa_utils

    rule = swa_utils.get_ema_multi_avg_fn(asked.decay) if asked.name == "ema" else swa_utils.get_swa_multi_avg_fn()
    averaged = swa_utils.AveragedModel(classifier, multi_avg_fn=rule, use_buffers=True)
    return averaged.requires_grad_(False)


def _groups(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
