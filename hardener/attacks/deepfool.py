"""DeepFool: step to the nearest boundary of a model that is linearised at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._minimum_norm import shorten, within_box
from hardener.geometry import Norm, fit_box, norm_geometry
from hardener.runtime.answers import chosen_class


def deepfool(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 50,
    overshoot: float = 0.02,
    halvings: int = 8,
    candidates: int = 10,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Look for the nearest misclassified image, however far it lies.

    Every rival class gives a plane on which, to first order, it ties with the label; each step goes to the nearest of
    these planes. A bisection then goes back towards the image as far as it stays misclassified.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS, the length that is kept small.
        eps: not used; the result may lie farther.
        steps: at most, >= 1; an image leaves as soon as it is misclassified.
        overshoot: > 0, the share by which the sum of all steps is lengthened, so that it crosses the boundary.
        halvings: of the way between image and result in the end, >= 0. Without, on a model that is linear from the
            image to its boundary, the result lies farther than the nearest misclassified image by `overshoot`.
        candidates: rival classes, >= 1: those with the largest logits at the image.
        generator: not used; the attack is deterministic.
    Returns:
        (N, C, H, W) in the box; the image itself where it is misclassified already or no way out was found.
    Note: the paper does not go back, although the margin of a network often grows faster than its gradient at the
        image says, so that a single step lands far beyond the boundary. And it knows no box: here a pixel at its
        border that would have to leave it counts neither for the distance nor for the step.
    Source: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural networks",
        CVPR 2016, Algorithm 2; for linf section 3.3, Eqs. (13) and (14).
    """
    ball = norm_geometry(norm)
    found = images.clone()
    with torch.no_grad():
        logits = model(images)
    rivals = _without(labels, logits).topk(min(candidates, logits.shape[1] - 1), dim=1).indices
    standing = chosen_class(logits).eq(labels).nonzero().squeeze(1)
    total = torch.zeros_like(images[standing])
    for _ in range(steps):
        if len(standing) == 0:
            break
        clean, truth = images[standing], labels[standing]
        step = _to_nearest_plane(model, clean + fit_box(clean, total), truth, rivals[standing], ball)
        total = total + (1 + overshoot) * step
        reached = clean + fit_box(clean, total)
        with torch.no_grad():
            fooled = chosen_class(model(reached)).ne(truth)
        found[standing[fooled]] = reached[fooled]
        going_on = ~fooled & step.flatten(1).any(dim=1)
        standing, total = standing[going_on], total[going_on]
    fell = (found != images).flatten(1).any(dim=1)
    if bool(fell.any()):
        found[fell] = shorten(model, images[fell], found[fell], labels[fell], halvings=halvings)
    return found


def _to_nearest_plane(model: Classifier, images: Tensor, labels: Tensor, rivals: Tensor, ball: Norm) -> Tensor:
    """Return the shortest step on which, to first order, a rival ties with the label; 0 where none has a gradient."""
    inputs = images.detach().requires_grad_()
    shortest = torch.full((len(images), 1, 1, 1), torch.inf, device=images.device, dtype=images.dtype)
    step = torch.zeros_like(images)
    with torch.enable_grad():
        logits = model(inputs)
    if not logits.requires_grad:
        return step
    for place in range(rivals.shape[1]):
        with torch.enable_grad():
            lead = (logits.gather(1, labels.unsqueeze(1)) - logits.gather(1, rivals[:, place : place + 1])).squeeze(1)
            is_last = place == rivals.shape[1] - 1
            (fall,) = torch.autograd.grad(
                -lead.sum(), inputs, retain_graph=not is_last, allow_unused=True, materialize_grads=True
            )
        fall = within_box(images, fall)
        direction = ball.steepest(fall)
        dual_norm = (fall * direction).flatten(1).sum(dim=1)
        least = torch.finfo(logits.dtype).eps * logits.detach().abs().amax(dim=1)  # a tie is still to be crossed
        distance = (torch.maximum(lead.detach(), least) / dual_norm).to(images.dtype).view(-1, 1, 1, 1)
        nearer = distance < shortest
        shortest = torch.where(nearer, distance, shortest)
        step = torch.where(nearer, distance * direction, step)
    return step


def _without(labels: Tensor, logits: Tensor) -> Tensor:
    return logits.scatter(1, labels.unsqueeze(1), -torch.inf)
