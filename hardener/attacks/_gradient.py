"""The gradient that the attacks of this room climb."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hardener.losses.cross_entropy import cross_entropy

Classifier = Callable[[Tensor], Tensor]
Objective = Callable[[Tensor, Tensor], Tensor]
"""(logits (N, K), labels (N,)) -> (N,), what the attacker wants to be large."""


def value_and_gradient(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    objective: Objective = cross_entropy,
    eot_draws: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, objective and the objective's gradient with respect to the images, from one forward and backward.

    The sum over images is differentiated, so an image's gradient does not depend on the batch around it (of a model
    in eval mode). Gradients are computed for the images alone: no parameter's `.grad` is touched, and autograd
    leaves out the products that only parameters need. A model whose answer does not depend on its input through
    autograd (rounding in numpy, a detached tensor) has the gradient 0 here.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, handed to `objective`.
        objective: to be maximised; the cross-entropy by default.
        eot_draws: passes, >= 1, whose objectives and gradients are averaged, for models that answer differently
            twice (expectation over transformation).
    Returns:
        Detached: logits (N, K) in at least float32, objective (N,), gradient (N, C, H, W). Of several draws, the
        logits are those of the draw that favours the label most, so that `logits.argmax(1) != labels` means that
        every draw was misclassified.
    Source: Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018, section 4.2
        (expectation over transformation).
    """
    logits, value, gradient = _one_draw(model, images, labels, objective)
    if eot_draws == 1:
        return logits, value, gradient
    best_margin = _label_margin(logits, labels)
    for _ in range(eot_draws - 1):
        other, other_value, other_gradient = _one_draw(model, images, labels, objective)
        value, gradient = value + other_value, gradient + other_gradient
        margin = _label_margin(other, labels)
        logits = torch.where((margin > best_margin).unsqueeze(1), other, logits)
        best_margin = torch.maximum(margin, best_margin)
    return logits, value / eot_draws, gradient / eot_draws


def _one_draw(model: Classifier, images: Tensor, labels: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
    inputs = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(inputs)
        wide = logits if logits.dtype.itemsize >= 4 else logits.float()
        value = objective(wide, labels)
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), inputs, allow_unused=True, materialize_grads=True)
        else:
            gradient = torch.zeros_like(images)
    return wide.detach(), value.detach(), gradient


def _label_margin(logits: Tensor, labels: Tensor) -> Tensor:
    own = logits.gather(1, labels.unsqueeze(1))
    return (own - logits.scatter(1, labels.unsqueeze(1), -torch.inf)).amin(dim=1)
