"""The one training loop: batch, method.loss, backward, step, log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from hardener.errors import Failure
from hardener.training.parallel import Exchange
from hardener.training.state import TrainingState

MIN_PIECE = 4  # batch norm learns nothing from fewer


@dataclass(frozen=True)
class Minibatch:
    """This process's part of a minibatch, augmented and on the model's device.

    Attributes:
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64.
        whole: images that the minibatch has over all processes.
        places: (N,) int64, which of the training images they are.
    """

    images: Tensor
    labels: Tensor
    whole: int
    places: Tensor


@dataclass(frozen=True)
class StepRule:
    """How a minibatch becomes steps.

    Attributes:
        theta_steps: of the network a minibatch, each on a fresh draw.
        beta_on_clean: beta takes one step on the clean batch after them, instead of one with each.
        gradient_clip: largest l2 norm of the network's gradient, or None.
        autocast: bfloat16 for the operations that gain from it.
    """

    theta_steps: int
    beta_on_clean: bool
    gradient_clip: float | None
    autocast: bool


def train_epoch(
    exchange: Exchange,
    batches: Iterable[Minibatch],
    state: TrainingState,
    rule: StepRule,
    *,
    before_step: Callable[[], None],
    on_step: Callable[[int], bool],
) -> None:
    """Take the steps of an epoch's remaining minibatches.

    Theta descends and beta ascends on the same loss: beta's optimiser has `maximize=True`, so one backward pass
    serves both.

    Args:
        before_step: called before each minibatch.
        on_step: called after each minibatch with its size over all processes; False ends the epoch there.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1.
    """
    method, theta, beta, progress = exchange.training_loss.method, state.theta, state.beta, state.progress
    for batch in batches:
        before_step()
        for _ in range(rule.theta_steps):
            progress.loss_sum += _descend_in_memory(exchange, batch, state, rule)
            progress.losses += 1
            if rule.gradient_clip is not None:
                clip_grad_norm_(exchange.training_loss.classifier.parameters(), rule.gradient_clip)
            theta.step()
            theta.zero_grad()
            if beta is not None:
                if not rule.beta_on_clean:
                    beta.step()
                    method.bound_beta()
                beta.zero_grad()
        if beta is not None and rule.beta_on_clean:
            _ascend_on_clean(exchange, batch, rule)
            beta.step()
            beta.zero_grad()
            method.bound_beta()
        progress.images += batch.whole
        if not on_step(batch.whole):
            return


def _ascend_on_clean(exchange: Exchange, batch: Minibatch, rule: StepRule) -> None:
    """Leave beta's gradient of the clean minibatch's mean loss in it."""
    with _precision(batch, rule):
        loss = exchange.training_loss.clean_loss(batch.images, batch.labels)
    (loss * (len(batch.images) * exchange.world / batch.whole)).backward()
    exchange.average_beta(clean=True)


def _descend_in_memory(exchange: Exchange, batch: Minibatch, state: TrainingState, rule: StepRule) -> Tensor:
    """Do as `_descend`, in smaller pieces from now on where the device's memory does not hold so many images."""
    training_loss, count = exchange.training_loss, len(batch.images)
    while True:
        try:
            return _descend(exchange, batch, state.piece, rule)
        except torch.OutOfMemoryError as error:
            held = f"{min(state.piece, count)} images at once do not fit in the memory of {batch.images.device}."
            if exchange.world > 1:  # the others are in the middle of the same step, and cannot take it again
                cut = math.ceil(2 * count / state.piece)
                raise Failure(
                    f"{held} Cut each minibatch with --set accumulate={cut}, or lower --batch-size."
                ) from error
            if not training_loss.method.divisible or state.piece < MIN_PIECE:
                raise Failure(f"{held} Lower --batch-size or --image-size, or choose a smaller network.") from error
        training_loss.method.after_backward()
        training_loss.zero_grad()
        state.piece = math.ceil(min(state.piece, count) / 2)
        torch.cuda.empty_cache()


def _descend(exchange: Exchange, batch: Minibatch, piece: int, rule: StepRule) -> Tensor:
    """Leave the gradient of a minibatch's mean loss in the parameters, and return this process's part of that loss.

    The mean over processes of these parts is the minibatch's loss, whether or not they have equally many images.
    """
    total = torch.zeros((), device=batch.images.device)
    least, most = batch.whole // exchange.world, math.ceil(batch.whole / exchange.world)
    pieces = min(math.ceil(most / piece), least)  # the same on all processes, and none without images
    parts = zip(*(whole.tensor_split(pieces) for whole in (batch.images, batch.labels, batch.places)), strict=True)
    for place, (images, labels, places) in enumerate(parts):
        exchange.training_loss.method.meet(places)
        with exchange.piece(last=place == pieces - 1) as loss_of:
            with _precision(batch, rule):
                loss = loss_of(images, labels) * (len(images) * exchange.world / batch.whole)
            loss.backward()
        exchange.training_loss.method.after_backward()
        total += loss.detach()
    exchange.average_beta(clean=False)
    return total


def smallest_piece(images: int, batch_size: int, accumulate: int, world: int) -> int:
    """Return how few images a pass of training may get, where an epoch has so many over all processes."""
    piece, rest = math.ceil(batch_size / accumulate), images % (batch_size * world)
    wholes = [batch_size * world] * (images >= batch_size * world) + [rest] * (rest >= 2 * world)
    least = [whole // world // min(math.ceil(math.ceil(whole / world) / piece), whole // world) for whole in wholes]
    return max(min(least, default=1), 1)


def _precision(batch: Minibatch, rule: StepRule) -> torch.autocast:
    return torch.autocast(batch.images.device.type, dtype=torch.bfloat16, enabled=rule.autocast)
