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
    bf16: bool = False,
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
        bf16: run the passes under bfloat16 autocast; logits and objective then have three digits, no more.
    Returns:
        Detached: logits (N, K) in at least float32, objective (N,), gradient (N, C, H, W). Of several draws, the
        logits are those of the draw that favours the label most, so that `logits.argmax(1) != labels` means that
        every draw was misclassified.
    Source: Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018
        (expectation over transformation).
    """
    logits, value, gradient = _one_draw(model, images, labels, objective, bf16)
    if eot_draws == 1:
        return logits, value, gradient
    best_margin = _label_margin(logits, labels)
    for _ in range(eot_draws - 1):
        other, other_value, other_gradient = _one_draw(model, images, labels, objective, bf16)
        value, gradient = value + other_value, gradient + other_gradient
        margin = _label_margin(other, labels)
        logits = torch.where((margin > best_margin).unsqueeze(1), other, logits)
        best_margin = torch.maximum(margin, best_margin)
    return logits, value / eot_draws, gradient / eot_draws


def rescaled_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of logits scaled so that each image's largest leads by 4, in units of that scale.

    The cross-entropy's gradient with respect to the logits is softmax(z) - one_hot(y). In float32 its entry for y is
    exactly 0 once the label leads by 17, all entries once it leads by 104: a model with large logits, or one trained
    to have them, shows an attack no gradient. With tiny logits, or with the small leads that label smoothing teaches,
    it tends to (1/K, ..., 1/K - 1) whatever the image: it sees all other classes alike, not the one that is nearest.
    A temperature changes no answer of the model, so the attacker may choose it for each image and step: with
    s = 4 / (z_(1) - z_(2)), a constant when differentiating, this is CE(s z, y) / s. Its gradient in z is
    softmax(s z) - one_hot(y), where the runner-up has e^-4 = 0.018 times the first's probability for every scale and
    shift of the logits; dividing by s lets the draws of a random model weigh alike in an average.

    Args:
        logits: (N, K), z, K >= 2.
        labels: (N,) int64, y.
    Returns:
        (N,), >= 0; multiplying the logits by a number multiplies it by that number.
    Note: the paper has t = 1 where this has 4. On small Digits networks (natural, noise- and FGSM-trained; PGD-20,
        linf and l2) t = 1 left up to 4 points more standing than the plain cross-entropy did, t = 4 none more and up
        to 1 fewer; on label-smoothed ones t = 4 left 9 (linf) and 4 (l2) points fewer. On three small CIFAR-10 (JPEG)
        networks, natural, label-smoothed and FGSM-trained (200 images, linf), t = 4 left 1, 5 and 1 points fewer.
    Source: Yu and Xu, "Efficient Loss Function by Minimizing the Detrimental Effect of Floating-Point Errors on
        Gradient-Based Attacks", CVPR 2023 (the loss MIFPE).
    """
    first, second = logits.detach().topk(2, dim=1).values.split(1, dim=1)
    rounding = torch.finfo(logits.dtype).eps * first.abs()  # a gap below it is none
    unit: Tensor = (first - second).maximum(rounding).clamp_min(1e-30) / 4
    scaled: Tensor = (logits - first) / unit  # subtracted before: a small gap loses no digits
    return cross_entropy(scaled, labels) * unit.squeeze(1)


def _one_draw(
    model: Classifier, images: Tensor, labels: Tensor, objective: Objective, bf16: bool
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = images.detach().requires_grad_()
    with torch.enable_grad():
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
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
