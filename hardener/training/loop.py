"""The one training loop: batch, method.loss, backward, step, log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from hardener.errors import Failure
from hardener.training.objective import Objective

MIN_PIECE = 4  # batch norm learns nothing from fewer


@dataclass
class Progress:
    """How far a run is; `images`, `loss_sum` and `losses` are of the epoch under way, `loss_sum` on the device."""

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
    objective: Objective,
    batches: Iterable[tuple[Tensor, Tensor]],
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
        batches: images (N, C, H, W) in [0, 1] and labels (N,), on the model's device, augmented.
        beta: None where the label law learns nothing.
        on_step: called after each minibatch with its size; False ends the epoch there.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1.
    """
    method = objective.method
    for images, labels in batches:
        set_learning_rate(progress)
        for _ in range(rule.theta_steps):
            progress.loss_sum += _descend_in_memory(objective, images, labels, rule)
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
            loss.backward()
            beta.step()
            beta.zero_grad()
            method.bound_beta()
        progress.images += len(images)
        if not on_step(len(images)):
            return


def _descend_in_memory(objective: Objective, images: Tensor, labels: Tensor, rule: StepRule) -> Tensor:
    """Do as `_descend`, in smaller pieces from now on where the device's memory does not hold so many images."""
    while True:
        try:
            return _descend(objective, images, labels, rule)
        except torch.OutOfMemoryError as error:
            if not rule.divisible or rule.piece < MIN_PIECE:
                raise Failure(
                    f"{min(rule.piece, len(images))} images at once do not fit in the memory of {images.device}. Lower "
                    "--batch-size or --image-size, or choose a smaller network."
                ) from error
        objective.method.after_backward()
        objective.zero_grad()
        rule.piece = math.ceil(min(rule.piece, len(images)) / 2)
        torch.cuda.empty_cache()


def _descend(objective: Objective, images: Tensor, labels: Tensor, rule: StepRule) -> Tensor:
    """Leave the gradient of a minibatch's mean loss in the parameters, and return that loss."""
    total = torch.zeros((), device=images.device)
    pieces = math.ceil(len(images) / rule.piece)
    for part, truth in zip(images.tensor_split(pieces), labels.tensor_split(pieces), strict=True):
        with _precision(images, rule):
            loss = objective(part, truth) * (len(part) / len(images))
        loss.backward()
        objective.method.after_backward()
        total += loss.detach()
    return total


def _precision(images: Tensor, rule: StepRule) -> torch.autocast:
    return torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=rule.autocast)
