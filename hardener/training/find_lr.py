"""The learning-rate finder: a few steps at rates that grow, until the loss does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from hardener.config.schema import OPTIMIZERS
from hardener.errors import HardenerError
from hardener.models.recompute import recompute
from hardener.progress import TrainReporter, rank_and_world
from hardener.runtime.model_state import same_draws
from hardener.training.build import check_optimizer, check_prior, first_state, method_for, step_rule
from hardener.training.learning_rate import give_rate
from hardener.training.loop import Minibatch, train_epoch
from hardener.training.order import DataOrder
from hardener.training.parallel import blocks, spread
from hardener.training.prepare import Prepared, prepare
from hardener.training.request import TrainRequest
from hardener.training.settling import MUCH
from hardener.training.state import Progress, TrainingState

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
_SMOOTHING = 0.9
_GREW = 4.0
_LEAST_STEPS = 10
_NEAR = 5  # steps to each side: of two steps alone a slope would be chance


@dataclass(frozen=True)
class RateSweep:
    """What was found.

    Attributes:
        rates: that were tried, growing.
        losses: smoothed, one a rate.
        suggested: at which the loss falls fastest; None: it falls at none.
        own: the rate that the run would have.
        batch_size: images a step.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float | None
    own: float
    batch_size: int


@same_draws(torch.device("cpu"))
def find_learning_rate(request: TrainRequest, reporter: TrainReporter) -> RateSweep:
    """Take up to 100 steps of the recipe at rates from 1e-6 to 10; nothing is written.

    Raises:
        HardenerError: a mistake in what was asked for, or several processes.
    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
    """
    if rank_and_world()[1] > 1:
        raise HardenerError("--find-lr works in one process: start it without torchrun.")
    check_optimizer(request.recipe.optimizer)
    prepared = prepare(request, reporter)
    check_prior(prepared.recipe, prepared.material.train_images)
    if prepared.recipe.network.head_first:
        reporter.say("the rates are tried on all layers, as after the epochs of the head alone")
    rates, losses = _sweep(prepared, request.seed, reporter)
    own = prepared.recipe
    found = steepest(rates, losses)
    if found is not None and own.optimizer.name != "sgd" and found > MUCH * OPTIMIZERS[own.optimizer.name]:
        reporter.warn(
            f"that is more than {MUCH} times the rate that torch has for {own.optimizer.name}, of which train warns: "
            "steps as few as these do not show what so large a rate unlearns later"
        )
    return RateSweep(tuple(rates), tuple(losses), found, own.optimizer.lr, own.batch_size)


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the rate at which a smoothed loss falls fastest before its minimum, by the logarithm of the rate.

    The slope is that of a line through a step and its five neighbours to each side.

    Args:
        rates: that grow by the same factor from step to step.
        losses: one a rate. The first ten, means of few minibatches, are passed over. The next ten tell how far the
            loss varies while the rate is too low to matter.
    Returns:
        None where the loss does not fall by more than that.
    """
    settled = losses[_LEAST_STEPS : 2 * _LEAST_STEPS]
    if len(losses) <= 2 * _LEAST_STEPS or min(losses[_LEAST_STEPS:]) > 2 * min(settled) - max(settled):
        return None
    lowest = min(range(_LEAST_STEPS, len(losses)), key=losses.__getitem__)
    places = range(_LEAST_STEPS + _NEAR, min(lowest, len(losses) - _NEAR))
    if not places:
        return None
    return rates[min(places, key=lambda place: sum(k * losses[place + k] for k in range(-_NEAR, _NEAR + 1)))]


def _sweep(prepared: Prepared, seed: int, reporter: TrainReporter) -> tuple[list[float], list[float]]:
    """Return the rates that were tried, and the smoothed loss at each."""
    recipe, material = prepared.recipe, prepared.material
    device = material.device
    method = method_for(recipe, material.train_images, len(prepared.folder.classes), device)
    method.mark(0.5)  # some terms of a loss count nothing at the start of a run
    method.awp_gamma = 0.0 if recipe.awp is None else recipe.awp.gamma
    if recipe.network.checkpoint:
        recompute(blocks(material.classifier.network))
    exchange = spread(material.classifier, method, device, material.train_images.shape, sharded=False)
    exchange.training_loss.train()
    state = first_state(recipe, material.classifier.network, method, device)
    rule = step_rule(recipe, device)
    follows = recipe.beta.lr is None and recipe.optimizer.name == "sgd"  # in the run too, the vector has SGD's rate
    order = DataOrder(material.train_images, recipe, seed=seed, device=device)
    rates: list[float] = []
    losses: list[float] = []
    smooth = 0.0
    with reporter.track("trying learning rates", STEPS, "steps") as advance:
        for step, batch in zip(range(STEPS), _endless(order, state), strict=False):
            rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
            give_rate(state, rate, beta=rate if follows else None)
            state.progress = Progress.start_of(0, device)
            train_epoch(exchange, [batch], state, rule, before_step=lambda: None, on_step=lambda _: True)
            loss = float(state.progress.loss_sum) / max(state.progress.losses, 1)
            smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * loss
            unbiased = smooth / (1 - _SMOOTHING ** (step + 1))
            if not math.isfinite(loss) or (step >= _LEAST_STEPS and unbiased > _GREW * min(losses)):
                break
            rates.append(rate)
            losses.append(unbiased)
            advance(1)
    return rates, losses


def _endless(order: DataOrder, state: TrainingState) -> Iterator[Minibatch]:
    """Yield minibatches of one epoch after another."""
    device = state.progress.loss_sum.device
    for epoch in range(STEPS):
        yield from order.batches(Progress.start_of(epoch, device))
