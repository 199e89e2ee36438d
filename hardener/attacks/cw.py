"""Carlini and Wagner's attacks."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._ascent import Ascent
from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.geometry import norm_geometry
from hardener.losses.margin import margin
from hardener.runtime.answers import chosen_class

_INSIDE = 0.999
_LARGEST_WEIGHT = 1e15


def cw(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 100,
    binary_search_steps: int = 6,
    learning_rate: float = 0.05,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb the margin of the logits: towards the nearest misclassified image in l2, else inside the ball.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: `l2`: the paper's search for the smallest perturbation. Another name in NORMS: projected gradient ascent
            on the margin from the image, in steps of 2.5 eps / steps, as later work measures this attack in `linf`.
        eps: radius, a fraction of the pixel range. In l2 it is not used: the search has no radius.
        steps: gradient steps, >= 1; in l2, of each round of the binary search.
        binary_search_steps: rounds of the search for the weight c, >= 1; l2 only. The attack costs
            `steps * binary_search_steps` forward and backward passes.
        learning_rate: of Adam, in the tanh space, l2 only; over the second half of a round it falls to a tenth.
        generator: not used; the attack is deterministic.
    Returns:
        (N, C, H, W) in the box. l2: the nearest misclassified image that was seen, however far beyond eps, or the image
        itself where none was. Else inside the ball; the first misclassified iterate, or the last.
    Raises:
        HardenerError: unknown norm.
    Note: the paper starts the search for c at a constant; here it starts, for each image, at twice the c that is
        just enough if the margin is linear, 2 m / |gradient of m|^2, so that the scale of the logits does not matter
        and few rounds suffice. The paper's 10,000 iterations a round are 100 here: on small Digits networks, natural
        and FGSM-trained, the distances found are within 1 % of those that ten times as many steps find.
    Source: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", S&P 2017 (its l2 attack,
        with the objective f_6 at confidence 0); Madry et al., ICLR 2018 (its projected form for linf).
    """
    if norm == "l2":
        return _nearest(model, images, labels, steps, binary_search_steps, learning_rate)
    ball = norm_geometry(norm)
    ascent = Ascent(model, images, labels, torch.zeros_like(images), objective=margin)
    for gradient in ascent.gradients(steps):
        moved = ascent.delta + 2.5 * eps / steps * ball.climbing_step(gradient, eps)
        ascent.delta = ball.project_in_box(ascent.images, moved, eps)
    return ascent.found()


def _nearest(
    model: Classifier, images: Tensor, labels: Tensor, steps: int, rounds: int, learning_rate: float
) -> Tensor:
    found = images.clone()
    logits, lead, gradient = value_and_gradient(model, images, labels, objective=margin)
    standing = chosen_class(logits) == labels
    if not bool(standing.any()):
        return found
    images, labels, lead, gradient = (rows[standing] for rows in (images, labels, lead, gradient))
    nearest, distance = images.clone(), torch.full_like(lead, torch.inf)
    weight = (-4 * lead / _square(gradient).clamp_min(1e-30)).clamp_max(_LARGEST_WEIGHT)
    too_small, enough = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
    for _ in range(rounds):
        broken = torch.zeros_like(standing[standing])
        w = torch.atanh((2 * images - 1) * _INSIDE)
        mean, square = torch.zeros_like(w), torch.zeros_like(w)
        for step in range(1, steps + 1):
            tried = (torch.tanh(w) + 1) / 2
            logits, _, gradient = value_and_gradient(model, tried, labels, objective=_hinge)
            broken_now = chosen_class(logits) != labels
            broken |= broken_now
            length = _square(tried - images).sqrt()
            nearer = broken_now & (length < distance)
            distance = torch.where(nearer, length, distance)
            nearest[nearer] = tried[nearer]
            descent = 2 * (tried - images) - _as_rows(weight, images) * gradient.nan_to_num(nan=0.0)
            descent = descent * 2 * tried * (1 - tried)  # the derivative of `tried` in w
            mean, square = 0.9 * mean + 0.1 * descent, 0.999 * square + 0.001 * descent.square()
            rate = learning_rate * 0.1 ** max(0.0, 2 * step / steps - 1)
            w = w - rate * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)  # Adam
        enough = torch.where(broken, torch.minimum(enough, weight), enough)
        too_small = torch.where(broken, too_small, torch.maximum(too_small, weight))
        weight = torch.where(enough.isinf(), 10 * weight, (too_small + enough) / 2).clamp_max(_LARGEST_WEIGHT)
    found[standing] = nearest
    return found


def _hinge(logits: Tensor, labels: Tensor) -> Tensor:
    return margin(logits, labels).clamp_max(0)


def _square(rows: Tensor) -> Tensor:
    return rows.flatten(1).square().sum(dim=1)


def _as_rows(values: Tensor, images: Tensor) -> Tensor:
    return values.view(-1, *[1] * (images.dim() - 1))
