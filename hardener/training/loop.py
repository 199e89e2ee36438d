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

MIN_PIECE = 4  # batch norm learns nothing from fewer


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: that is under way.
        images: of it that are done, over all processes.
        loss_sum: of its losses on this process, on the device.
        losses: how many those are.
    """

    epoch: int
    images: int
    loss_sum: Tensor
    losses: int = 0


@dataclass
class StepRule:
    """How a minibatch becomes steps.

    Attributes:
        theta_steps: of the network a minibatch, each on a fresh draw.
        beta_on_clean: beta takes one step on the clean batch after them, instead of one with each.
        gradient_clip: largest l2 norm of the network's gradient, or None.
        autocast: bfloat16 for the operations that gain from it.
        piece: images at once at most; a larger minibatch is cut into even pieces, each with a pass of its own.
            Halved where the device's memory does not hold so many.
        divisible: whether a minibatch may be cut further.
    """

    theta_steps: int
    beta_on_clean: bool
    gradient_clip: float | None
    autocast: bool
    piece: int
    divisible: bool = True


def train_epoch(
    exchange: Exchange,
    batches: Iterable[tuple[Tensor, Tensor, int]],
    theta: torch.optim.Optimizer,
    beta: torch.optim.Optimizer | None,
    rule: StepRule,
    progress: Progress,
    *,
    set_learning_rate: Callable[[Progress], None],
    on_step: Callable[[int], bool],
) -> None:
    """Take the steps of an epoch's remaining minibatches.

    Theta descends and beta ascends on the same loss: beta's optimiser has `maximize=True`, so one backward pass
    serves both.

    Args:
        batches: this process's part of each minibatch: images (N, C, H, W) in [0, 1] and labels (N,), on the model's
            device, augmented; and how many images the minibatch has over all processes.
        beta: None where the label law learns nothing.
        on_step: called after each minibatch with its size over all processes; False ends the epoch there.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1.
    """
    objective = exchange.objective
    method = objective.method
    for images, labels, whole in batches:
        set_learning_rate(progress)
        for _ in range(rule.theta_steps):
            progress.loss_sum += _descend_in_memory(exchange, images, labels, whole, rule)
            progress.losses += 1
            if rule.gradient_clip is not None:
                clip_grad_norm_(objective.classifier.parameters(), rule.gradient_clip)
            theta.step()
            theta.zero_grad()
            if beta is not None:
                if not rule.beta_on_clean:
                    beta.step()
                    method.bound_beta()
                beta.zero_grad()
        if beta is not None and rule.beta_on_clean:
            with _precision(images, rule):
                loss = objective.clean_loss(images, labels)
            (loss * (len(images) * exchange.world / whole)).backward()
            exchange.average_beta(clean=True)
            beta.step()
            beta.zero_grad()
            method.bound_beta()
        progress.images += whole
        if not on_step(whole):
            return


def _descend_in_memory(exchange: Exchange, images: Tensor, labels: Tensor, whole: int, rule: StepRule) -> Tensor:
    """Do as `_descend`, in smaller pieces from now on where the device's memory does not hold so many images."""
    while True:
        try:
            return _descend(exchange, images, labels, whole, rule)
        except torch.OutOfMemoryError as error:
            held = f"{min(rule.piece, len(images))} images at once do not fit in the memory of {images.device}."
            if exchange.world > 1:  # the others are in the middle of the same step, and cannot take it again
                cut = math.ceil(2 * len(images) / rule.piece)
                raise Failure(
                    f"{held} Cut each minibatch with --set accumulate={cut}, or lower --batch-size."
                ) from error
            if not rule.divisible or rule.piece < MIN_PIECE:
                raise Failure(f"{held} Lower --batch-size or --image-size, or choose a smaller network.") from error
        exchange.objective.method.after_backward()
        exchange.objective.zero_grad()
        rule.piece = math.ceil(min(rule.piece, len(images)) / 2)
        torch.cuda.empty_cache()


def _descend(exchange: Exchange, images: Tensor, labels: Tensor, whole: int, rule: StepRule) -> Tensor:
    """Leave the gradient of a minibatch's mean loss in the parameters, and return this process's part of that loss.

    The mean over processes of these parts is the minibatch's loss, whether or not they have equally many images.
    """
    total = torch.zeros((), device=images.device)
    least, most = whole // exchange.world, math.ceil(whole / exchange.world)
    pieces = min(math.ceil(most / rule.piece), least)  # the same on all processes, and none without images
    for place, (part, truth) in enumerate(zip(images.tensor_split(pieces), labels.tensor_split(pieces), strict=True)):
        with exchange.piece(last=place == pieces - 1) as loss_of:
            with _precision(images, rule):
                loss = loss_of(part, truth) * (len(part) * exchange.world / whole)
            loss.backward()
        exchange.objective.method.after_backward()
        total += loss.detach()
    exchange.average_beta(clean=False)
    return total


def _precision(images: Tensor, rule: StepRule) -> torch.autocast:
    return torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=rule.autocast)
