"""Fast minimum-norm: climb the margin on a ball whose radius shrinks while the image is misclassified."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.attacks._minimum_norm import SLACK, within_box
from hardener.geometry import NORMS, norm_geometry
from hardener.geometry.l2 import L2
from hardener.losses.margin import margin
from hardener.runtime.answers import chosen_class


def fmn(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 100,
    first_step_size: float | None = None,
    first_shrink: float = 0.05,
    last_shrink: float = 0.001,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Look for the nearest misclassified image, however far it lies.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS, the length that is kept small.
        eps: not used; the result may lie farther.
        steps: gradient steps, >= 1.
        first_step_size: the paper's alpha_0, the l2 length of the first step, in any norm; the last is a hundredth.
            By default 1, and 0.1 sqrt(C H W) for linf, in which a step of 1 spreads thinner the more pixels
            there are.
        first_shrink, last_shrink: the paper's gamma, in (0, 1): the share by which a step changes the radius.
        generator: not used; the attack is deterministic.
    Returns:
        (N, C, H, W) in the box: the nearest misclassified image that was met; the image itself where there was none.
    Note: until a misclassified image is met the radius is the estimated distance of the boundary. The paper stops at
        the estimate; here it is lengthened by the current gamma, since on a linear model the boundary itself would
        be reached and never crossed. And pixels at their border that would have to leave the box count neither for
        the estimate nor for the step: the paper clips them after it.
    Source: Pintor, Roli, Brendel, Biggio, "Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints",
        NeurIPS 2021, Algorithm 1.
    """
    ball = norm_geometry(norm)
    found = images.clone()
    with torch.no_grad():
        standing = chosen_class(model(images)).eq(labels).nonzero().squeeze(1)
    if len(standing) == 0:
        return found
    clean, truth = images[standing], labels[standing]
    if first_step_size is None:
        first_step_size = 0.1 * math.sqrt(images[0].numel()) if math.isinf(NORMS[norm].order) else 1.0
    delta, nearest = torch.zeros_like(clean), torch.zeros_like(clean)
    radius = torch.full((len(clean), 1, 1, 1), torch.inf, device=clean.device, dtype=clean.dtype)
    shortest = radius.clone()
    for step in range(steps):
        _, lead, gradient = value_and_gradient(model, clean + delta, truth, objective=margin)
        gradient = within_box(clean + delta, gradient)
        dual_norm = (gradient * ball.steepest(gradient)).flatten(1).sum(dim=1)
        size = ball.size(delta)
        fooled = (lead > SLACK * size * dual_norm).view(-1, 1, 1, 1)
        to_boundary = (lead.abs() / dual_norm).to(clean.dtype).view(-1, 1, 1, 1)
        size = size.view(-1, 1, 1, 1)
        nearer = fooled & (size < shortest)
        nearest = torch.where(nearer, delta, nearest)
        shortest = torch.where(nearer, size, shortest)

        shrink = _cosine(first_shrink, last_shrink, step, steps)
        unmet = (size + to_boundary) * (1 + shrink)
        grown = torch.where(shortest.isfinite(), radius * (1 + shrink), unmet)
        radius = torch.where(fooled, torch.minimum(radius * (1 - shrink), shortest), grown)

        length = _cosine(first_step_size, first_step_size / 100, step, steps)
        moved = delta + length * L2.steepest(gradient)
        delta = ball.project_in_box(clean, moved, radius.nan_to_num(torch.inf))
    found[standing] = clean + nearest
    return found


def _cosine(first: float, last: float, step: int, steps: int) -> float:
    """Go from `first` at step 0 to `last` at step `steps`, along half a cosine."""
    return last + (first - last) * (1 + math.cos(math.pi * step / steps)) / 2
