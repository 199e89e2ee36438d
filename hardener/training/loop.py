"""The one training loop: batch, method.loss, backward, step, log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from hardener.methods.vicinity_risk import VicinityRisk


@dataclass
class Progress:
    """How far a run is; `loss_sum` and `losses` are of the epoch under way, `loss_sum` on the device."""

    epoch: int
    step: int
    loss_sum: Tensor
    losses: int = 0


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
    model: nn.Module,
    method: VicinityRisk,
    batches: Iterable[tuple[Tensor, Tensor]],
    theta: torch.optim.Optimizer,
    beta: torch.optim.Optimizer | None,
    rule: StepRule,
    progress: Progress,
    *,
    set_learning_rate: Callable[[Progress], None],
    on_step: Callable[[int], bool],
) -> bool:
    """Take the steps of an epoch's remaining minibatches.

    Theta descends and beta ascends on the same loss: beta's optimiser has `maximize=True`, so one backward pass
    serves both.

    Args:
        batches: images (N, C, H, W) in [0, 1] and labels (N,), on the model's device, augmented.
        beta: None where the label law learns nothing.
        on_step: called after each minibatch with its size; False ends the epoch there.
    Returns:
        Whether the epoch is complete.
    Source: Cheng et al., "Self-Progressing Robust Training", AAAI 2021, Algorithm 1.
    """
    model.train()
    for images, labels in batches:
        set_learning_rate(progress)
        for _ in range(rule.theta_steps):
            with _precision(images, rule):
                loss = method.loss(model, images, labels)
            loss.backward()
            if rule.gradient_clip is not None:
                clip_grad_norm_(model.parameters(), rule.gradient_clip)
            theta.step()
            theta.zero_grad()
            if beta is not None:
                if not rule.beta_on_clean:
                    beta.step()
                    method.bound_beta()
                beta.zero_grad()
            progress.loss_sum += loss.detach()
            progress.losses += 1
        if beta is not None and rule.beta_on_clean:
            _ascend_on_clean(model, method, images, labels, beta, rule)
        progress.step += 1
        if not on_step(len(images)):
            return False
    return True


def _ascend_on_clean(
    model: nn.Module,
    method: VicinityRisk,
    images: Tensor,
    labels: Tensor,
    beta: torch.optim.Optimizer,
    rule: StepRule,
) -> None:
    @torch.no_grad()  # beta moves the loss through the labels alone: no backward pass through the network
    def logits(batch: Tensor) -> Tensor:
        found: Tensor = model(batch)
        return found

    with _precision(images, rule):
        loss = method.clean_loss(logits, images, labels)
    loss.backward()
    beta.step()
    beta.zero_grad()
    method.bound_beta()


def _precision(images: Tensor, rule: StepRule) -> torch.autocast:
    return torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=rule.autocast)
